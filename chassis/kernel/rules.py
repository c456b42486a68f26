"""The rules that contracts give fields, and the few that hold for every record, as sentences in English and Chinese with their parameters.

A refusal names its rule in `params["rule"]`; whoever shows it fills the sentence in the reader's language. Patterns are told by what they
ask for, never as regular expressions. A test walks every rule and pattern of every contract.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from chassis.kernel.words import shown

RULES: dict[str, tuple[str, str]] = {
    "required": ("give it a value", "必须填写"),
    "string.max_len": ("give at most {limit} characters", "最多 {limit} 个字符"),
    "string.min_len": ("give at least {limit} characters", "至少 {limit} 个字符"),
    "string.len": ("give exactly {limit} characters", "必须是 {limit} 个字符"),
    "string.email": ("this is no mail address; write it as name@company.example", "不是邮箱地址；请写成 name@company.example"),
    "string.in": ("give one of {limit}", "必须是以下之一：{limit}"),
    "string.const": ("it must be {limit}", "必须是 {limit}"),
    "bytes.max_len": ("give at most {limit} bytes", "最多 {limit} 字节"),
    "string.max_bytes": ("give at most {limit} bytes", "最多 {limit} 字节"),
    "bytes.len": ("give exactly {limit} bytes", "必须是 {limit} 字节"),
    "map.max_pairs": ("give at most {limit}", "最多 {limit} 项"),
    "number.least": ("give {least} or more", "不得小于 {least}"),
    "number.most": ("give {most} at most", "不得大于 {most}"),
    "order.wide": ("narrow the filter to {most} records", "请将筛选范围缩小到 {most} 条记录以内"),
    "page.way": ("give {name} too", "还需给出 {name}"),
    "page.ways": ("give either last or {name}", "last 与 {name} 只能给出一个"),
    "number.between": ("give {least} to {most}", "必须在 {least} 到 {most} 之间"),
    "number.not_in": ("it must not be {limit}", "不能是 {limit}"),
    "number.finite": ("give a number that is finite", "必须是有限的数"),
    "enum.defined_only": ("there is no such value", "没有这个取值"),
    "enum.not_in": ("choose a value", "请选择一个值"),
    "enum.in": ("this value cannot be given here", "此处不能使用这个取值"),
    "repeated.min_items": ("give at least {limit}", "至少 {limit} 项"),
    "repeated.max_items": ("give at most {limit}", "最多 {limit} 项"),
    "number.token": ("use letters, digits, - / . _ and {tokens}", "只能使用字母、数字、- / . _ 以及 {tokens}"),
    "number.seq": ("one {{SEQ:n}} must stand in it, and {{CHECK}} at its end alone", "必须有且只有一个 {{SEQ:n}}，{{CHECK}} 只能放在末尾"),
    "number.digits": ("{{SEQ:n}} has 1 to 12 digits, e.g. {{SEQ:4}}; the other tokens have no number", "{{SEQ:n}} 为 1 到 12 位，如 {{SEQ:4}}；其他标记不带数字"),
    "number.reset": ("what begins anew each year, month or day must show the year, month or day", "每年、每月或每日重新开始的编号必须包含年、月或日"),
    "number.long": ("give at most {most} characters", "最多 {most} 个字符"),
    "keys.one": ("give ids of one kind", "请只给出一种编号"),
    "repeated.unique": ("give each only once", "不能重复"),
    "form.name": ("nothing in it can be read; give a letter, a digit or a character", "其中没有可读的内容；请填写字母、数字或汉字"),
    "form.phone": (
        "this cannot be dialled; write digits, e.g. +86 10 6234 5671, an extension behind 转 or ext., several with commas",
        "无法拨打；请填写数字，如 +86 10 6234 5671，分机写在“转”或 ext. 之后，多个号码用逗号分开",
    ),
    "form.email": ("this is no mail address; write it as name@company.example", "不是邮箱地址；请写成 name@company.example"),
    "form.country": ("there is no such country; give its two letters by ISO 3166, e.g. CN", "没有这个国家；请填写 ISO 3166 的两位字母，如 CN"),
    "form.currency": (
        "there is no such currency in use; give its three letters by ISO 4217, e.g. CNY (not RMB)",
        "没有这种在用币种；请填写 ISO 4217 的三位字母，如 CNY（不是 RMB）",
    ),
    "form.website": ("this is no address of a page; write it as https://www.company.example", "不是网页地址；请写成 https://www.company.example"),
    "form.time_zone": ("there is no such time zone; give its IANA name, e.g. Asia/Shanghai", "没有这个时区；请填写 IANA 名称，如 Asia/Shanghai"),
    "form.language": ("this is no language tag; write it as zh-CN or en", "不是语言标签；请写成 zh-CN 或 en"),
    "form.tax_number": ("this is no tax number; write its letters and digits, four at least", "不是税号；请填写其字母和数字，至少四位"),
    "pattern.id": ("this is no id of a record; use one that you were given", "不是记录编号；请使用系统给出的编号"),
    "pattern.request_id": ("a request id has 8 to 64 letters, digits, _ or -", "请求编号须为 8 到 64 位字母、数字、_ 或 -"),
    "pattern.date": ("write the day as YYYY-MM-DD, e.g. 2026-11-30", "日期请写成 YYYY-MM-DD，如 2026-11-30"),
    "pattern.month": ("write the month as YYYY-MM, from 2000-01 to 2100-12", "月份请写成 YYYY-MM，从 2000-01 到 2100-12"),
    "pattern.key": ("write small letters, digits and _, a letter first", "请使用小写字母、数字和下划线，以字母开头"),
    "pattern.country": ("give two capital letters by ISO 3166, e.g. CN", "请填写 ISO 3166 的两位大写字母，如 CN"),
    "pattern.currency": ("give three capital letters by ISO 4217, e.g. CNY", "请填写 ISO 4217 的三位大写字母，如 CNY"),
    "pattern.scope": ("write printable ASCII characters without blanks, quotes and backslashes", "请使用可见的 ASCII 字符，不含空格、引号和反斜杠"),
    "pattern.visible": ("write printable ASCII characters without blanks", "请使用可见的 ASCII 字符，不含空格"),
    "pattern.code": ("give the 6 digits of the code", "请填写 6 位数字的验证码"),
    "pattern.sha256": ("write the SHA-256 of the file as 64 small hexadecimal digits", "请填写文件的 SHA-256（64 位小写十六进制）"),
    "pattern.digits": ("write digits only", "只能填写数字"),
    "pattern.noun": ("write the kind of record as the graph does, e.g. Customer", "请按图中的写法填写记录类型，如 Customer"),
    "pattern.method": ("write the name of a method as the contract does, e.g. UpdateCustomer", "请按合约中的写法填写方法名，如 UpdateCustomer"),
    "pattern.fact": ("use a cursor that you were given, or @ and seconds since 1970", "请使用系统给出的游标，或 @ 加 1970 年以来的秒数"),
    "id.kind": ("this is the id of a {kind}; give the id of a {wanted}", "这是 {kind} 的编号；请给出 {wanted} 的编号"),
    "right.here": (
        "your roles do not allow «{action}» on {resource} here; ask an administrator for the right or the owner for the record",
        "您的角色不允许对这里的{resource}执行“{action}”；请联系管理员授权，或联系记录的负责人",
    ),
    "right.field": (
        "your roles do not let you set «{name}»; leave it out, or ask an administrator for the right",
        "您的角色不允许设置“{name}”；请不要填写，或联系管理员授权",
    ),
    "right": ("your roles do not allow «{action}» on {resource}; ask an administrator for the right", "您的角色不允许对{resource}执行“{action}”；请联系管理员授权"),
    "validate_only": (
        "{method} cannot be validated only; send it without validateOnly",
        "“{method}”不能只做校验（用于登录、涉及密钥或分步执行）；请不带 validateOnly 发送",
    ),
    "version.stale": ("you saw version {seen}, it is now {present}; read it again and repeat your change", "您看到的是版本 {seen}，现在是版本 {present}；请重新读取后再修改"),
    "record.absent": ("there is no record «{id}» that you may see; check the id", "没有您可以查看的记录“{id}”；请核对编号"),
    "reference.absent": ("there is no record «{id}» that you may see", "引用的记录“{id}”不存在，或您无权查看"),
    "customer.merged": (
        "this customer is part of «{id}» by now; open that one and begin again, or undo the merge",
        "该客户已并入“{id}”；请打开合并后的客户重新操作，或撤销合并",
    ),
    "merge.already": ("this customer is part of «{id}» since {day}; merge that one", "该客户自 {day} 起是“{id}”的一部分；请合并那个客户"),
    "tags.full": ("there would be {count} tags, and {most} may be; take some away first", "将有 {count} 个标签，最多 {most} 个；请先去掉一些"),
    "merge.large": ("{count} customers would be one, {most} may be; undo a merge first", "合并后将有 {count} 个客户，最多 {most} 个；请先撤销一次合并"),
    "merge.undone": ("this merge was undone on {day}; the two are apart", "这次合并已于 {day} 撤销，两者已分开"),
    "criteria.field": ("«{name}» is not a field to filter by", "“{name}”不能用于筛选"),
    "criteria.no_time": ("«{name}» is no time; {kind} says nothing about it", "“{name}”不是时间，不能使用 {kind}"),
    "criteria.day": ("«{name}» is a day and has no time; use relative_days", "“{name}”是日期，没有时刻；请使用 relative_days"),
    "criteria.operator": (
        "«{name}» with {operator} takes no {kind}; compare it as earlier or later, and join several by «any»",
        "“{name}”的 {operator} 不接受 {kind}；请比较早晚，多个条件用 any 连接",
    ),
    "criteria.far": ("{kind} of «{name}» lies more than a hundred years away; give -{most} to {most}", "“{name}”的 {kind} 超过一百年；请填写 -{most} 到 {most}"),
    "file.refused": (
        "«{name}» holds something that can run, or is two kinds of file in one; send PNG, PDF or an office file without macros",
        "“{name}”含有可以执行的内容，或一个文件兼有两种格式；请发送 PNG、PDF 或不含宏的办公文件",
    ),
    "file.picture_kind": (
        "«{name}» is a picture of a kind that would keep where it was taken (HEIC, AVIF, TIFF); save it as JPEG or PNG",
        "“{name}”的图片格式会保留拍摄地点等信息（HEIC、AVIF、TIFF）；请另存为 JPEG 或 PNG",
    ),
    "file.picture_broken": (
        "«{name}» cannot be opened as the picture that it says it is; save it anew as JPEG or PNG",
        "“{name}”不能作为图片打开；请重新保存为 JPEG 或 PNG",
    ),
    "file.picture_large": (
        "«{name}» takes more to open than is given: its frames have at most 25,000,000 pixels together, of some kinds fewer; save it smaller",
        "“{name}”打开时占用过多：所有帧合计至多 2500 万像素，某些格式更少；请缩小后再发送",
    ),
    "file.picture_bytes": (
        "«{name}» is a picture of more than 20 MB; save it smaller, or send it in a PDF or ZIP",
        "“{name}”是超过 20 MB 的图片；请缩小，或放入 PDF 或 ZIP 中发送",
    ),
    "file.no_preview": ("«{name}» has no preview, as only pictures have; fetch the file itself", "“{name}”没有预览，只有图片才有；请下载文件本身"),
    "file.no_space": (
        "the files of this department take {used} of {most} GB, and this one has no room; ask an administrator for more",
        "本部门的附件已占用 {most} GB 中的 {used} GB，放不下这个文件；请联系管理员扩容",
    ),
    "file.pdf_runs": (
        "«{name}» runs a script or a program when it is opened; print it to PDF and send that",
        "“{name}”打开时会运行脚本或程序；请将其打印为 PDF 后再发送",
    ),
    "aggregate.unreadable": (
        "your roles do not let you read all of «{name}», so nothing is reckoned by it; leave it out, or ask an administrator for the right",
        "您的角色不能完整查看“{name}”，因此不能据此统计；请不要使用它，或联系管理员授权",
    ),
    "aggregate.field": ("nothing can be grouped by «{name}»; use one of {fields}", "不能按“{name}”分组；请使用以下之一：{fields}"),
    "aggregate.twice": ("«{name}» is there twice; group by it once", "“{name}”出现了两次；请只按它分组一次"),
    "aggregate.period": ("«{name}» is a day or time; say how long a period is", "“{name}”是日期或时间；请说明按日、周、月、季或年分组"),
    "aggregate.no_period": ("«{name}» is no day or time and has no periods; leave the length out", "“{name}”不是日期或时间，没有周期；请不要填写周期长度"),
    "aggregate.measure": ("«{function}» cannot be made of «{name}»; use {functions}", "不能对“{name}”求 {function}；请使用 {functions}"),
    "aggregate.wide": (
        "more than {most} {resource} are asked about; narrow the filter, for example by a time, an owner or a state",
        "涉及的{resource}超过 {most} 条；请缩小筛选范围，例如按时间、负责人或状态",
    ),
    "aggregate.slow": (
        "to look through these {resource} takes too long; narrow the filter, for example by a time or an owner",
        "统计这些{resource}耗时过长；请缩小筛选范围，例如按时间或负责人",
    ),
    "aggregate.periods": (
        "these {resource} lie in more than {most} periods; take longer ones, or narrow the filter by the time",
        "这些{resource}跨越的周期超过 {most} 个；请使用更长的周期，或按时间缩小范围",
    ),
    "aggregate.beyond": (
        "a sum in {currency} is beyond ±900 000 000 000; narrow the filter, or group it",
        "{currency} 的合计超过 ±9000 亿；请缩小筛选范围或分组统计",
    ),
    "person.inactive": ("there is no active person «{id}»; choose another one", "没有在职人员“{id}”；请另选一位"),
}  # fmt: skip

PATTERNS: dict[str, str] = {
    "^[0-9a-z][0-9a-z-]{0,63}$": "pattern.id",
    "^[A-Za-z0-9_-]{8,64}$": "pattern.request_id",
    r"^\d{4}-\d{2}-\d{2}$": "pattern.date",
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}$": "pattern.date",
    "^(20[0-9]{2}|2100)-(0[1-9]|1[0-2])$": "pattern.month",
    "^[a-z][a-z_]{1,49}$": "pattern.key",
    "^[a-z][a-z0-9_]{1,49}$": "pattern.key",
    "^[a-z][a-z_]*$": "pattern.key",
    "^[a-z][a-z0-9_]*$": "pattern.key",
    "^[a-z]{1,50}$": "pattern.key",
    "^[A-Z]{2}$": "pattern.country",
    "^[A-Z]{3}$": "pattern.currency",
    r"^[!#-\[\]-~]{1,100}$": "pattern.scope",
    "^[!-~]+$": "pattern.visible",
    "^[0-9]{6}$": "pattern.code",
    "^[0-9]+$": "pattern.digits",
    "^[0-9a-f]{64}$": "pattern.sha256",
    "^([A-Z][A-Za-z]{1,49})?$": "pattern.noun",
    "^[A-Z][A-Za-z]{1,99}$": "pattern.method",
    "^([0-9a-z]{1,64}|@[0-9]{1,15})$": "pattern.fact",
}
_NUMBERS = ("int32.", "int64.", "double.")
_STEP = {"gt": 1, "gte": 0, "lt": -1, "lte": 0}
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def rule_of(rule_id: str, limit: Any, words: str = "") -> dict[str, str]:
    """The parameters of a broken rule of a contract: its name here, and what it asks for.

    `rule_id` is protovalidate's, `limit` the value of the rule, `words` protovalidate's own, which alone have both ends of a range.
    """
    if rule_id == "string.pattern":
        return {"rule": PATTERNS.get(str(limit), "pattern.unknown")}
    if rule_id.startswith(_NUMBERS):
        return _number(rule_id.split(".", 1)[1], limit, words)
    if (rule_id == "string.min_len" and limit == 1) or rule_id.endswith("_empty"):
        return {"rule": "required"}
    return {"rule": rule_id} | ({"limit": _listed(limit)} if "{limit}" in RULES.get(rule_id, ("",))[0] else {})


def _number(kind: str, limit: Any, words: str) -> dict[str, str]:
    if kind == "not_in":
        return {"rule": "number.not_in", "limit": _listed(limit)}
    ends = kind.split("_")
    if any(end not in _STEP for end in ends):
        return {"rule": f"number.{kind}"}
    whole = isinstance(limit, int)
    values = _NUMBER.findall(words) if len(ends) > 1 else [str(limit)]
    told = {
        "least" if end.startswith("g") else "most": str(int(value) + _STEP[end]) if whole else value
        for end, value in zip(ends, values, strict=False)
    }
    return {"rule": "number.between" if len(told) == 2 else f"number.{next(iter(told))}", **told}


def sentence(params: Mapping[str, str], chinese: bool = False) -> str:
    """The sentence of the rule that the parameters name; "" where they name none that is known, or lack what it needs."""
    found = RULES.get(params.get("rule", ""))
    try:
        return found[chinese].format_map({name: shown(name, value, chinese=chinese) for name, value in params.items()}) if found else ""
    except KeyError:
        return ""


def _listed(limit: Any) -> str:
    return ", ".join(map(str, limit)) if isinstance(limit, list | tuple) else str(limit)
