"""Refusals speak the graph and two languages: every code, every rule and every pattern of every contract."""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest
from buf.validate import validate_pb2
from crm.customer.v1 import customer_service_pb2
from crm.organization.v1 import person_service_pb2
from crm.sales.v1 import order_service_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, ServiceDescriptor
from hypothesis import given
from hypothesis import strategies as st

import gateway
from chassis.access.caller import lacking
from chassis.kernel.codes import BROAD, CHINESE, GATEWAY
from chassis.kernel.errors import CrmError, Invalid
from chassis.kernel.rules import PATTERNS, RULES, rule_of, sentence
from chassis.kernel.words import ACTIONS, RESOURCES
from chassis.rpc.contract import departments, modules, nouns
from chassis.rpc.errors import MOST_VIOLATIONS, status_of
from chassis.rpc.service import policy_of
from chassis.rpc.validation import bound, most_of, validate
from cli.plan import DEPARTMENTS
from gateway.departments.errors import path_of
from gateway.departments.language import ENGLISH, SIMPLIFIED, spoken, told
from gateway.departments.spelling import graph_name, spelled
from gateway.graph.contract import to_global

HAN = re.compile(r"[一-鿿]")


def reasons() -> dict[str, str]:
    """Code → the department whose contract has it."""
    found: dict[str, str] = {}
    for department in ("common", *DEPARTMENTS):
        module = importlib.import_module(f"crm.{department}.v1.error_reason_pb2")
        found |= {value.name.removeprefix("ERROR_REASON_"): department for value in module.ErrorReason.DESCRIPTOR.values if value.number}
    return found


def test_every_code_of_every_department_is_told_in_both_languages_and_nothing_else_is() -> None:
    page = (Path(gateway.__file__).parent.parent / "docs" / "reference" / "refusals.md").read_text()
    assert set(reasons()) == set(CHINESE)
    assert [code for code in (*CHINESE, *GATEWAY) if not re.search(rf"\| `{code}` \| \w+ \| [A-Z].* \| .*[一-鿿].* \|", page)] == []
    assert not set(CHINESE) & set(GATEWAY)
    assert [code for code, words in {**CHINESE, **{code: two[1] for code, two in GATEWAY.items()}}.items() if not HAN.search(words)] == []
    assert {*CHINESE, *GATEWAY} >= BROAD


def test_every_code_that_the_source_answers_with_is_in_the_catalogue() -> None:
    root = Path(gateway.__file__).parent.parent
    sources = [path for folder in ("chassis", "services", "gateway") for path in (root / folder).rglob("*.py")]
    used = {code for path in sources for code in re.findall(r'code(?:=|": )"([A-Z_]+)"', path.read_text())}
    assert len(used) > 50
    assert used - {*CHINESE, *GATEWAY} == set()


def services() -> list[ServiceDescriptor]:
    """Every service of every contract, those without a noun too."""
    return [one for name in ("common", *departments()) for module in modules(name) for one in module.DESCRIPTOR.services_by_name.values()]


def fields() -> Iterator[FieldDescriptor]:
    """Every field of every request and record."""
    seen: set[str] = set()
    for start in [*(noun.record for noun in nouns()), *(method.input_type for service in services() for method in service.methods)]:
        waiting: list[Descriptor] = [start]
        while waiting:
            one = waiting.pop()
            if one.full_name in seen or not one.full_name.startswith("crm."):
                continue
            seen.add(one.full_name)
            yield from one.fields
            waiting += [field.message_type for field in one.fields if field.message_type]


def rules_of(field: FieldDescriptor) -> Iterator[tuple[str, object]]:
    """(protovalidate's id, limit) of every rule of a field and its items."""
    whole = field.GetOptions().Extensions[validate_pb2.field]
    for rules in (whole, whole.repeated.items):
        if rules.required:
            yield "required", True
        kind = rules.WhichOneof("type")
        if kind is None:
            continue
        told_ = [(one.name, value) for one, value in getattr(rules, kind).ListFields() if one.name not in ("items", "keys", "values")]
        ends = {name: value for name, value in told_ if name in ("gt", "gte", "lt", "lte")}
        if len(ends) == 2:
            yield f"{kind}.{'_'.join(ends)}", ends[next(iter(ends))]
        for name, value in told_:
            if not (len(ends) == 2 and name in ends):
                yield f"{kind}.{name}", list(value) if not isinstance(value, str | int | float | bool | bytes) else value


def test_every_rule_of_every_contract_is_a_sentence_in_both_languages() -> None:
    speechless, asked = set(), 0
    for field in fields():
        for rule_id, limit in rules_of(field):
            asked += 1
            params = rule_of(rule_id, limit, "greater than or equal to 1 and less than or equal to 9")
            words, chinese = sentence(params), sentence(params, chinese=True)
            if not words or not HAN.search(chinese) or "^" in words + chinese:
                speechless.add((rule_id, str(limit), params["rule"]))
    assert asked > 500
    assert speechless == set()


def test_every_resource_and_action_of_the_policies_has_words_in_chinese() -> None:
    asked = {policy_of(method) for service in services() for method in service.methods}
    asked |= {(noun.resource, "import") for noun in nouns()} | {("graph", "read")}
    assert len(asked) > 100
    assert {resource for resource, _ in asked if resource} - set(RESOURCES) == set()
    assert {action for _, action in asked if action != "public"} - set(ACTIONS) == set()
    assert [words for words in (*RESOURCES.values(), *ACTIONS.values()) if not HAN.search(words) and words != "Webhook"] == []


def test_a_right_that_is_lacking_is_told_in_words_and_named_as_policies_do() -> None:
    refusal = spelled(lacking("campaign_messages", "import"))
    assert refusal.params == {"rule": "right", "action": "import", "resource": "campaign_messages"}
    assert refusal.message == "your roles do not allow «import» on campaign messages; ask an administrator for the right"
    assert sentence(refusal.params, chinese=True) == "您的角色不允许对营销消息执行“导入”；请联系管理员授权"
    assert spelled(CrmError("use one of campaign_messages, work_calendars")).message == "use one of campaign_messages, work_calendars"


def test_every_sentence_needs_the_same_parameters_in_both_languages() -> None:
    for rule, (english, chinese) in RULES.items():
        names = [{name for _, name, _, _ in Formatter().parse(text) if name} for text in (english, chinese)]
        assert names[0] == names[1], rule
    assert set(PATTERNS.values()) <= set(RULES)


def test_all_broken_rules_of_a_request_come_at_once_without_regular_expressions() -> None:
    request = person_service_pb2.CreatePersonRequest(request_id="x", name="n" * 900, email="nobody", locale="!!")
    with pytest.raises(Invalid) as refusal:
        validate(request)
    broken = {one.field: one.params["rule"] for one in (refusal.value, *refusal.value.also)}
    assert broken["request_id"] == "pattern.request_id"
    assert broken["name"] == "string.max_len"
    assert broken["email"] == "string.email"
    assert broken["locale"] == "form.language"
    assert broken["home_department_id"] == "required"
    assert not any("^" in one.message for one in (refusal.value, *refusal.value.also))


def test_to_refuse_a_hostile_request_costs_little_however_much_is_wrong_with_it() -> None:
    """Lists that are too long are not read; of a long message the first fault alone is told; of a short one as many as travel."""
    endless = order_service_pb2.CreateOrderRequest(customer_id="!", lines=[{} for _ in range(200_000)])
    long = order_service_pb2.CreateOrderRequest(customer_id="!", lines=[{"description": "x" * 300, "quantity": -1} for _ in range(100)])
    short = order_service_pb2.CreateOrderRequest(customer_id="!", lines=[{"quantity": -1} for _ in range(100)])
    began = time.process_time()
    with pytest.raises(Invalid) as crowded:
        bound(endless)
    bound(long)
    found = []
    for message in (long, short):
        with pytest.raises(Invalid) as refusal:
            validate(message)
        found.append(len(refusal.value.also))
    assert time.process_time() - began < 0.5
    assert (crowded.value.field, crowded.value.params["rule"]) == ("lines", "repeated.max_items")
    assert found == [0, MOST_VIOLATIONS - 1]


def test_every_list_of_every_request_is_counted_before_it_is_read() -> None:
    uncounted = [field.full_name for field in fields() if field.is_repeated and field.full_name.startswith("crm.") and not most_of(field)]
    inputs = {method.input_type.full_name for service in services() for method in service.methods}
    assert [name for name in uncounted if name.rpartition(".")[0] in inputs] == []


def test_a_refusal_with_everything_in_it_fits_a_trailer() -> None:
    also = [Invalid("长" * 900, field="f" * 300, params={"rule": "string.max_len", "limit": "9" * 900}) for _ in range(40)]
    status = status_of(Invalid("长" * 900, field="f" * 300, also=also), "request-1")
    assert len(status.SerializeToString()) * 4 / 3 + len(status.message.encode()) * 3 < 15_000


def test_what_departments_say_is_spelled_as_the_graph_has_it() -> None:
    request = customer_service_pb2.CreateCustomerRequest(parent_id="c0ffee", owner_id="lin")
    error = CrmError(
        "there is no customer «c0ffee» that you may see; check parent_id, not the_weather", field="parent_id",
        params={"rule": "reference.absent", "id": "c0ffee"}, details={"changed_fields": ["owner_id", "name"], "version": 3},
        also=[Invalid("no active person «lin»; see lines[0].unit_price", field="owner_id")],
    )  # fmt: skip
    found = spelled(error, request)
    shown = to_global("Customer", "c0ffee")
    assert found.message == f"there is no customer «{shown}» that you may see; check parentId, not the_weather"
    assert found.params == {"rule": "reference.absent", "id": shown}
    assert found.details == {"changedFields": ["ownerId", "name"], "version": 3}
    assert found.also[0].message == f"no active person «{to_global('Person', 'lin')}»; see lines[0].unitPrice"


@pytest.mark.parametrize(
    ("path", "shown"), [("page_token", "after"), ("page_size", "first"), ("lines[0].unit_price.amount_micros", "lines[0].unitPrice.amount")]
)
def test_what_the_graph_calls_otherwise_is_called_so(path: str, shown: str) -> None:
    assert graph_name(path) == shown


def test_the_path_of_a_refusal_names_the_input_once() -> None:
    assert [path_of(field) for field in ("", "update_mask", "lines[0].unit_price")] == [
        ["input"], ["input"], ["input", "lines", "0", "unitPrice"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", ""), ("zh-CN,zh;q=0.9,en;q=0.8", SIMPLIFIED), ("en-GB", ENGLISH), ("fr, zh-TW;q=0.5, en;q=0.7", ENGLISH),
        ("de", ""), ("zh;q=0, en", ENGLISH), ("zh;q=viel", ""),
    ],
)  # fmt: skip
def test_the_language_is_the_most_wanted_one_that_is_spoken(header: str, language: str) -> None:
    assert spoken(header) == language


@given(st.text(max_size=300))
def test_no_header_breaks_it(header: str) -> None:
    assert spoken(header) in ("", ENGLISH, SIMPLIFIED)


def test_chinese_names_the_field_and_fills_the_rule() -> None:
    params = {"rule": "string.max_len", "limit": "200"}
    assert told("INVALID_ARGUMENT", "name: …", params, "name", SIMPLIFIED) == "name：最多 200 个字符"
    assert told("OPPORTUNITY_CLOSED", "the opportunity is won", {}, "", SIMPLIFIED) == "商机已赢单或输单；请先重新打开"
    assert told("WRONG_STATE", "it already stands in «won»", {}, "stage_key", SIMPLIFIED).endswith("（it already stands in «won»）")
    assert told("WRONG_STATE", "words", {}, "", ENGLISH) == "words"
