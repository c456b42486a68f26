"""Every RPC of every department, asked by every shipped role about records near and far: the answer is that of the second opinion."""

from __future__ import annotations

import time
from collections import Counter

import pytest
import pytest_asyncio
from crm.common.v1 import event_service_pb2
from graphql import GraphQLField, GraphQLObjectType, get_named_type, is_leaf_type

from chassis.rpc.contract import shown_as
from chassis.rpc.measures import groupable
from gateway.bootstrap import shared_schema
from gateway.graph import bulk
from gateway.graph.noun import NOUNS, Noun
from tests.support.installation import ROLES, Installation
from tests.support.matrix import DEPUTY, Matrix
from tests.support.prober import Prober
from tests.support.prober_beside import Case, Cases
from tests.support.samples import LONG, part

# (method, role, slot) that the specification does not decide, with the reason.
KNOWN: dict[tuple[str, str, str], str] = {}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def prober(file_crm: Installation) -> Prober:
    """Everything that the matrix makes and ends."""
    return Prober(await Matrix(file_crm).build())


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cases(prober: Prober) -> Cases:
    """Every case, asked."""
    begun = time.monotonic()
    found = await prober.run()
    print(f"\n{len(found):,} cases in {time.monotonic() - begun:.0f} s, {sum(case.right for case in found):,} of them allowed")
    return found


# ---- before commands change who works with whom


async def test_no_list_tells_who_stands_in_for_somebody_a_word_out_of_reach(prober: Prober) -> None:
    told = prober.seen
    await prober.walk(DEPUTY)
    assert not [leak for leak in prober.leaks if DEPUTY in leak], "\n".join(sorted(prober.leaks)[:40])
    assert prober.seen > told + 20


# Two readers ask all, the others a fifth each, which lasts as long as four of them asking all.
WHOLE = ("SALES_REP", DEPUTY)


@pytest.mark.parametrize("reader", sorted({*ROLES, DEPUTY}))
async def test_no_answer_of_the_graph_holds_a_word_of_a_record_out_of_reach(prober: Prober, reader: str) -> None:
    matrix, told = prober.matrix, 0
    for query in _walks() if reader in WHOLE else part(_walks(), 5, reader):
        text = str(await prober.crm.graph(query, reader))
        told += text.count("canary")
        assert not matrix.leaked(reader, text), (query, matrix.leaked(reader, text))
    assert told > (20 if reader in WHOLE or LONG else 0) or reader == "ADMINISTRATOR"


def _walks() -> list[str]:
    """Every list of the graph with what leads on from its records: edges to one together, each edge to many alone; and the search."""
    schema = shared_schema()._schema
    found = ['{ search(query: "canary", first: 50, archived: true) { hits { card { title subtitle } matched { before match after } } } }']
    for name, field in (schema.query_type.fields if schema.query_type else {}).items():
        kind = _node(field)
        if kind is None:
            continue
        ones, many = _leaves(kind), []
        for edge, definition in kind.fields.items():
            inner = get_named_type(definition.type)
            if any(str(argument.type).endswith("!") for argument in definition.args.values()) or is_leaf_type(inner):
                continue
            if (other := _node(definition)) is not None:
                many.append(f"id {edge}(first: 10) {{ nodes {{ {' '.join(_leaves(other))} }} }}")
            elif isinstance(inner, GraphQLObjectType) and _leaves(inner):
                ones.append(f"{edge} {{ {' '.join(_leaves(inner))} }}")
        found += [f"{{ {name}(first: 50) {{ nodes {{ {body} }} }} }}" for body in (" ".join(ones), *many)]
    return found + [_grouped(noun) for noun in NOUNS.values() if noun.contract.traits.aggregated]


def _grouped(noun: Noun) -> str:
    """The records of a noun in groups by a word of theirs where they have one, with what is behind each group."""
    field = "NAME" if "name" in groupable(noun.descriptor) else "SOURCE_KEY"
    leaves = " ".join(_leaves(shared_schema()._schema.type_map[noun.name]))
    behind = f"records(first: 2) {{ nodes {{ {leaves} }} }}"
    return f"{{ {noun.field}Aggregate(first: 100, groupBy: [{{field: {field}}}]) {{ rows {{ keys {{ value }} {behind} }} totals {{ count }} }} }}"


def _node(field: GraphQLField) -> GraphQLObjectType | None:
    """What a field lists; None where it is no list that can be asked for without more."""
    nodes = getattr(get_named_type(field.type), "fields", {}).get("nodes")
    inner = get_named_type(nodes.type) if nodes else None
    needs = any(str(argument.type).endswith("!") for argument in field.args.values())
    return inner if isinstance(inner, GraphQLObjectType) and not needs and "first" in field.args else None


def _leaves(kind: GraphQLObjectType) -> list[str]:
    return [name for name, field in kind.fields.items() if is_leaf_type(get_named_type(field.type)) and not field.args]


# ---- every method


@pytest.mark.timeout(400)
async def test_every_department_answers_as_the_second_opinion_says(cases: Cases) -> None:
    wrong = [case for case in cases if (case.right is not case.done or not case.exact) and _key(case) not in KNOWN]
    print(f"wrong: {Counter((case.method, case.right, case.done, case.code) for case in wrong)}")
    assert not wrong, f"{len(wrong)} of {len(cases)} cases differ, for example\n" + "\n".join(map(str, wrong[:40]))


async def test_no_answer_holds_a_word_of_a_record_out_of_reach(prober: Prober, cases: Cases) -> None:
    assert not prober.leaks, f"{len(prober.leaks)} leaks, for example\n" + "\n".join(sorted(prober.leaks)[:40])
    assert prober.seen > 1000, f"the words were told {prober.seen} times: where none is told, none can be missed"


def _key(case: Case) -> tuple[str, str, str]:
    return case.method, case.role, case.slot


async def test_every_method_is_asked_by_every_role_and_some_are_let_in(prober: Prober, cases: Cases) -> None:
    assert not prober.invalid, "these requests tell nothing of access, for they were no good ones"
    asked = {(case.method, case.role) for case in cases}
    methods = {method.name for methods in prober.methods.values() for method in methods}
    assert asked == {(method, role) for method in methods for role in ROLES}
    assert len(cases) > (5000 if LONG else 2000)
    allowed = sum(case.right for case in cases) / len(cases)
    assert 0.1 < allowed < 0.9
    nobody = methods - {case.method for case in cases if case.right}
    services = {"GetDirectory", "RotateSigningKey", "ListAuditBlocks", "RecordCheckpoint", "ListCheckpoints"} | set(EVENT_METHODS)
    assert nobody == services, "methods that no shipped role may use are not tried at all"


EVENT_METHODS = event_service_pb2.DESCRIPTOR.services_by_name["EventService"].methods_by_name
# Fields of the graph that are no method of one noun, and the methods by which they are answered.
COMPOSED = {
    "exchangeRateOfDay": "BatchGetRates", "amountInCurrency": "ConvertAmount", "fiscalDay": "GetFiscalDay", "fiscalYear": "GetFiscalYear",
    "node": "GetCustomer", "nodes": "GetCustomer", "viewer": "GetPerson", "grants": "ListGrants", "recordHistory": "ListRecordHistory", "accessExplain": "ExplainAccess",
    "session": "BatchGetSessions", "apiKey": "BatchGetApiKeys", "webhookDelivery": "BatchGetWebhookDeliveries", "webhookReceipt": "BatchGetWebhookReceipts",
    "job": "GetJob", "jobs": "ListJobs", "jobRows": "ListJobRows", "jobChanged": "GetJob", "importStart": "StartImport", "importAppend": "AppendJobRows",
    "importClose": "CloseJob", "jobPause": "PauseJob", "jobResume": "ResumeJob", "jobCancel": "CancelJob", "jobRetryRows": "RetryJobRows",
    "jobRebuildStart": "StartRebuild", "timelineEntry": "BatchGetTimelineEntries", "recordChanged": "BatchGetCustomers",
    "recordsChanged": "BatchGetCustomers", "resourceChanged": "BatchGetOrders", "presence": "BatchGetCustomers", "presenceBeat": "BatchGetCustomers",
    "ticketChanged": "BatchGetTickets", "customerDisclosure": "DiscloseSubject", "personalDataReads": "ListPersonalDataReads", "customerActivity": "BatchGetTimelineEntries",
    "attachment": "GetAttachment", **{f"attachment{verb}": f"{verb}Attachment" for verb in ("Begin", "Replace", "Complete", "Archive", "Restore")},
    "recordStar": "StarRecord", "recordUnstar": "UnstarRecord", "attachmentDownload": "CreateDownload", "viewerPreferences": "ListPreferences", "preferenceSet": "SetPreference",
    "workingTime": "GetWorkingTime", "workCalendarMonth": "GetCalendarMonth",
    "search": "Search", "recordCards": "BatchDescribeRecords",
    "numberingRules": "ListNumberingRules", "numberingRuleUpdate": "UpdateNumberingRule",
}  # fmt: skip


def _answered(field: str) -> set[str]:
    """The methods that a field of the graph may stand for, by their names."""
    found = {COMPOSED[field]} if field in COMPOSED else set()
    for noun in NOUNS.values():
        if field == noun.field:
            found.add(f"Get{noun.name}")
        if field.startswith(noun.field):
            rest = field.removeprefix(noun.field)
            found |= {f"Search{noun.name}s"} if rest == "Search" else set()
            found |= {name for name in noun.service.methods_by_name if rest in ("Aggregate", "Board") and name.startswith(rest)}
            found |= {f"Suggest{noun.name}Tags"} if rest == "Tags" else set()
            found |= {name for name in noun.service.methods_by_name if rest and name.replace(noun.name, "", 1) == rest}
        found |= {method.name for method in noun.service.methods if shown_as(method) == field}
        found |= {method.name for method in noun.contract.bulk if bulk.shown(noun, method) == field}
        if field == f"{noun.field}Count":  # the list's own rows, counted (tests/e2e/test_access_numbers.py)
            found |= {method.name for method in noun.service.methods if "count_up_to" in method.input_type.fields_by_name}
    return found | {f"List{field[0].upper()}{field[1:]}"}


async def test_what_the_graph_offers_is_in_the_matrix(cases: Cases) -> None:
    asked, schema = {case.method for case in cases}, shared_schema()._schema
    fields = [name for kind in (schema.query_type, schema.mutation_type, schema.subscription_type) if kind for name in kind.fields]
    assert [name for name in fields if not _answered(name) & asked] == ["suite"]  # asks no department: what the gateway knows itself
    assert len(fields) > 100
