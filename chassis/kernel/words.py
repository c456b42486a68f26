"""What resources and actions of policies are called in sentences. Policies, parameters and arguments spell them in one way: `campaign_messages`."""

from __future__ import annotations

RESOURCES: dict[str, str] = {
    "api_keys": "API 密钥", "articles": "知识库文章", "attachments": "附件", "audits": "审计记录", "campaign_messages": "营销消息", "campaigns": "营销活动",
    "checkpoints": "审计检查点", "competitors": "竞争对手", "contacts": "联系人", "customer_accesses": "客户访问关系", "customer_erasures": "客户数据删除",
    "customer_merges": "客户合并", "customers": "客户", "departments": "部门", "directory": "权限目录", "disclosures": "个人信息查阅",
    "exchange_rates": "汇率", "explanations": "权限说明", "facts": "事实", "fiscal_calendars": "财务日历", "grants": "权限清单", "graph": "图的结构",
    "histories": "变更历史", "identity_providers": "身份提供方", "jobs": "任务", "notes": "备注", "numbering_rules": "编号规则",
    "opportunities": "商机", "orders": "订单",
    "parked_events": "搁置的事实", "people": "人员", "pipelines": "销售流程", "preferences": "偏好", "products": "产品", "read_models": "读模型", "records": "记录",
    "role_definitions": "角色",
    "segments": "客户群", "sessions": "会话", "sharing_contracts": "共享约定", "signing_keys": "签名密钥", "stars": "星标",
    "ticket_replies": "工单答复",
    "tickets": "工单", "timeline_entries": "时间线", "webhook_deliveries": "Webhook 投递", "webhook_endpoints": "Webhook", "webhook_receipts": "Webhook 接收记录",
    "webhook_sources": "Webhook 来源", "work_calendars": "工作日历",
}  # fmt: skip
ACTIONS: dict[str, str] = {
    "absence": "设置缺勤", "archive": "归档", "assign": "分配", "create": "新建", "drop": "丢弃", "erase": "删除个人数据", "import": "导入", "merge": "合并",
    "password": "设置密码", "read": "查看", "rebuild": "重建", "reconcile": "核对", "record": "记录", "republish": "重新发布", "retry": "重试",
    "rotate": "轮换", "unmerge": "撤销合并", "update": "修改", "vote": "评价",
}  # fmt: skip


def shown(name: str, value: str, *, chinese: bool) -> str:
    """A parameter of a sentence as it reads there: resources and actions by their words, everything else as it is."""
    if name == "resource":
        return RESOURCES.get(value.replace(" ", "_"), value) if chinese else value.replace("_", " ")
    return ACTIONS.get(value, value) if name == "action" and chinese else value
