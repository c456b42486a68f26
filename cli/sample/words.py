"""Names and phrases that the sample company is made of, Chinese and international. Invented; any likeness is chance."""

from __future__ import annotations

CITIES = (
    ("北京", "华北", "CN"), ("上海", "华东", "CN"), ("广州", "华南", "CN"), ("深圳", "华南", "CN"), ("杭州", "华东", "CN"), ("成都", "西南", "CN"),
    ("武汉", "华中", "CN"), ("西安", "西北", "CN"), ("南京", "华东", "CN"), ("青岛", "华北", "CN"), ("重庆", "西南", "CN"), ("苏州", "华东", "CN"),
)  # fmt: skip
STEMS = (
    "远景",
    "恒信",
    "华泰",
    "金桥",
    "瑞丰",
    "天成",
    "汇通",
    "鼎盛",
    "星海",
    "博雅",
    "安捷",
    "新锐",
    "嘉禾",
    "明德",
    "宏图",
    "睿思",
    "万象",
    "联创",
    "卓越",
    "启航",
)
TRADES = (
    ("科技", "软件"), ("贸易", "批发零售"), ("机械设备", "制造"), ("医疗器械", "医疗"), ("物流", "物流"), ("食品", "食品"), ("建材", "建筑"),
    ("教育咨询", "教育"), ("电子", "电子"), ("化工", "化工"),
)  # fmt: skip
TAGS = ("大客户", "老客户", "转介绍", "价格敏感", "可做案例", "年会邀请", "VIP", "重点回访")
SURNAMES = "王李张刘陈杨黄赵周吴徐孙马朱胡郭何高林罗"
GIVEN = (
    "伟",
    "芳",
    "娜",
    "敏",
    "静",
    "磊",
    "洋",
    "艳",
    "勇",
    "军",
    "杰",
    "娟",
    "涛",
    "明",
    "超",
    "霞",
    "平",
    "刚",
    "桂英",
    "建国",
    "雨桐",
    "子涵",
    "浩然",
    "思远",
)
FIRST = (
    "Anna",
    "Ben",
    "Carla",
    "David",
    "Elena",
    "Frank",
    "Grace",
    "Hugo",
    "Irene",
    "Jonas",
    "Kate",
    "Liam",
    "Maria",
    "Noah",
    "Olga",
    "Paul",
)
LAST = (
    "Meyer",
    "Smith",
    "Rossi",
    "Dupont",
    "Novak",
    "Jensen",
    "Garcia",
    "Kowalski",
    "Brown",
    "Silva",
    "Tanaka",
    "Kim",
    "Okafor",
    "Lindgren",
)
FIRMS = (
    "Nordlicht",
    "Bluewater",
    "Summit",
    "Redwood",
    "Atlas",
    "Vertex",
    "Harbor",
    "Quantum",
    "Silverline",
    "Evergreen",
    "Pioneer",
    "Meridian",
)
KINDS = (
    ("Logistics", "物流"),
    ("Systems", "软件"),
    ("Foods", "食品"),
    ("Medical", "医疗"),
    ("Trading", "批发零售"),
    ("Industries", "制造"),
)
FORMS = (("GmbH", "DE", "欧洲"), ("Ltd", "GB", "欧洲"), ("Inc.", "US", "北美"), ("S.A.", "FR", "欧洲"), ("Pte. Ltd.", "SG", "东南亚"))
SOURCES = ("网站", "展会", "转介绍", "电话", "广告", "合作伙伴")
TITLES = ("总经理", "采购经理", "技术总监", "财务主管", "Managing Director", "Head of Purchasing", "IT Manager", "Office Manager")
PRODUCTS = (
    ("CRM-S", "协同CRM 标准版", "软件", 12_000), ("CRM-P", "协同CRM 专业版", "软件", 36_000), ("SRV-1", "实施服务(天)", "服务", 3_000),
    ("TRN-1", "培训(场)", "服务", 5_000), ("TEL-A", "IP 话机 A 型", "硬件", 480), ("GWY-B", "语音网关 B 型", "硬件", 6_800),
    ("SUP-Y", "年度支持", "服务", 8_000), ("PRN-C", "标签打印机", "硬件", 1_250),
)  # fmt: skip
DEALS = ("年度采购", "系统升级", "扩容项目", "新门店上线", "Annual contract", "Upgrade", "Pilot project", "续约")
WON = ("价格合适", "方案最完整", "服务口碑", "best references", "交付快")
LOST = ("预算取消", "价格过高", "选择了竞争对手", "no decision", "需求变化")
NOTES = (
    "希望下季度再谈预算。",
    "重视交付时间，已答应月底前给出方案。",
    "Prefers e-mail, calls only after 14:00.",
    "与技术总监关系良好。",
    "正在比较两家竞争对手。",
)
SUBJECTS = (
    ("无法登录系统", "account", "INCIDENT"), ("发票抬头需要修改", "billing", "REQUEST"), ("话机没有声音", "hardware", "INCIDENT"),
    ("如何导出报表？", "account", "QUESTION"), ("Delivery is late", "delivery", "COMPLAINT"), ("Invoice amount differs from quote", "billing", "COMPLAINT"),
    ("打印机卡纸", "hardware", "INCIDENT"), ("想退回一台设备", "delivery", "RETURN"), ("How do I add a user?", "account", "QUESTION"),
)  # fmt: skip
ASKED = ("您好，这个问题影响我们的工作，请尽快处理。", "Please help, this has been open since Monday.", "我们已经重启过了，还是一样。")
ANSWERED = ("已收到，正在核实，今天内给您答复。", "We found the cause and will fix it today.", "已为您处理，请再试一次。")
CAMPAIGNS = ("春季新品发布", "老客户答谢", "渠道伙伴招募", "夏季促销", "用户大会邀请", "年终续约优惠")
# Name, former names, website, price level, what it does better, what we do better.
COMPETITORS = (
    ("云帆软件", ("云帆信息",), "https://yunfan.example.com", "LOWER", "报价低，上线快。", "没有本地客服，定制能力弱。"),
    ("启明科技", (), "https://qiming.example.com", "SIMILAR", "在制造业案例多。", "移动端功能少，报表要另外付费。"),
    (
        "Northlight CRM", ("Nordlicht Systeme", "Northlight GmbH"), "https://northlight.example.com", "HIGHER",
        "Known brand, many partners.", "No Chinese edition; answers take days.",
    ),
    ("鼎新数据", (), "https://dingxin.example.com", "LOWER", "数据分析模块成熟。", "权限管理粗，集团客户用不了。"),
)  # fmt: skip
ARTICLES = (
    ("如何重置密码", "账户", "ZH", "1. 打开登录页，点击**忘记密码**。\n2. 输入注册邮箱，我们会发送一封邮件。\n3. 在 30 分钟内点击邮件里的链接并设置新密码。"),
    ("如何申请开具发票", "账单", "ZH", "登录后进入**订单**，选择已付款的订单，点击**申请发票**，填写抬头和税号。电子发票一般在一个工作日内发到您的邮箱。"),
    ("退货和换货的期限", "售后", "ZH", "收到货物七天内可以无理由退货，十五天内可以换货。请保留包装和配件，并在退货单上写明原因。"),
    ("话机没有声音怎么办", "硬件", "ZH", "先检查网线和音量键，再长按电源键五秒重启。仍然没有声音时，请在本页投票后提交工单并附上序列号。"),
    ("如何导出报表", "使用", "ZH", "在列表右上角点击**导出**，选择格式和时间范围。数据较多时会在后台生成，完成后发送通知。"),
    ("How to reset your password", "Account", "EN", "Open the sign-in page, choose **Forgot password** and enter your mail address. The link works for 30 minutes."),
    ("How to get an invoice", "Billing", "EN", "Open **Orders**, choose a paid order and **Request invoice**. We send it by mail within one working day."),
    ("Returns and exchanges", "After-sales", "EN", "You can return goods within seven days and exchange them within fifteen. Keep the packaging and name the reason."),
    ("The phone has no sound", "Hardware", "EN", "Check the cable and the volume keys, then hold the power key for five seconds. Still silent? Open a ticket."),
    ("How to add a user", "Account", "EN", "An administrator opens **People**, chooses **Add** and gives name, mail address, department and role."),
)  # fmt: skip
