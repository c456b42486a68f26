"""What holds for every noun, tried on each from its contract alone: a new noun is tried here without a line of test code.

Who may do what is in the matrix (test_access_matrix), shapes of facts in test_event_shapes, collection scans in test_every_noun_reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import pytest_asyncio
from crm.common.v1 import criteria_pb2

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from chassis.rpc.contract import Contract
from chassis.rpc.documents import marks_of, personal_fields, snake, sortable_fields, traits
from chassis.storage.changes import AUDIT, OUTBOX, REQUESTS
from tests.support import samples
from tests.support.checks import refused
from tests.support.installation import Installation
from tests.support.requests import CHANGED, FORMS, good
from tests.support.specimens import GROWS, Specimens, method_of, standard, wrong_values

CREATED, UNCHANGED = 1, 3
OTHERS = {"email": "another@example.com", "from_currency": "CHF", "to_currency": "SEK", "first_date": "2020-02-03"}


def each(*verbs: str) -> Callable[[Any], Any]:
    """A test for every noun that has these verbs; in a short run for a third of them, another one for each test."""
    found = [noun for noun in standard(verbs[0]) if all(method_of(noun, verb) for verb in verbs)]

    def mark(test: Any) -> Any:
        drawn = samples.part(found, 3, test.__name__)
        return pytest.mark.parametrize("noun", drawn, ids=[noun.resource for noun in drawn])(test)

    return mark


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def specimens(crm: Installation) -> Specimens:
    return Specimens(crm)


def where(noun: Contract) -> str:
    return f"{noun.department}.{noun.resource}"


async def ask(crm: Installation, noun: Contract, verb: str, identity: str, **more: Any) -> Any:
    """The record that a command on a record answers with."""
    answer = await crm.ask(method_of(noun, verb).name, **{noun.key: identity}, **more)
    return getattr(answer, snake(noun.name))


def change(noun: Contract) -> dict[str, Any]:
    """A change of one field that every noun of its kind takes."""
    path = next(name for name in CHANGED if name in method_of(noun, "Update").input_type.fields_by_name)
    return {"update_mask": {"paths": [path]}, path: False if path == "is_default" else f"anew {new_id()}"}


# ---- verbs


@each("Create", "Get", "BatchGet")
async def test_what_is_made_is_found_by_its_id_and_in_lists(crm: Installation, specimens: Specimens, noun: Contract) -> None:
    made = await specimens.made(noun)
    assert (made.version, made.creator_id) == (1 if noun.resource not in GROWS else made.version, "service-cli")
    assert (await ask(crm, noun, "Get", made.id)) == made
    answer = await crm.ask(method_of(noun, "BatchGet").name, ids=[made.id, "nobody"])
    assert [one.id for one in getattr(answer, noun.resource)] == [made.id]
    assert list(answer.missing_ids) == ["nobody"]
    with pytest.raises(CrmError) as absent:
        await ask(crm, noun, "Get", "nobody")
    assert (absent.value.code, absent.value.field) == ("NOT_FOUND", noun.key)
    assert noun.words in absent.value.message


@each("Create", "Update")
async def test_a_change_names_the_version_seen_and_is_told_once(crm: Installation, specimens: Specimens, noun: Contract) -> None:
    made = await specimens.made(noun)
    values = change(noun)
    name = method_of(noun, "Update").name
    key = {noun.key: made.id}
    await refused(
        crm, where(noun), crm.ask(name, **key, version=made.version + 1, **values), "VERSION_CONFLICT", field="version", record_id=made.id
    )
    wrong = {"update_mask": {"paths": ["version"]}}
    await refused(
        crm, where(noun), crm.ask(name, **key, version=made.version, **wrong), "INVALID_ARGUMENT", field="update_mask", record_id=made.id
    )
    after = await ask(crm, noun, "Update", made.id, version=made.version, **values)
    (path,) = values["update_mask"]["paths"]
    assert (after.version, getattr(after, path)) == (made.version + 1, values[path])
    facts = await told(crm, noun, made.id)
    assert [version for version, _ in facts] == list(range(1, after.version + 1))
    assert (facts[0], facts[-1]) == ((1, f"{noun.name}Created"), (after.version, f"{noun.name}Updated"))
    assert set(await audited(crm, noun, made.id)) >= {1, after.version}


@each("Create", "Archive", "Restore")
async def test_what_is_archived_is_out_of_lists_and_comes_back(crm: Installation, specimens: Specimens, noun: Contract) -> None:
    made = await specimens.made(noun)
    after = await ask(crm, noun, "Archive", made.id, version=made.version)
    assert after.HasField("archive_time")
    again = crm.ask(method_of(noun, "Archive").name, **{noun.key: made.id})
    await refused(crm, where(noun), again, "ARCHIVED", record_id=made.id)
    if method_of(noun, "Update"):
        late = crm.ask(method_of(noun, "Update").name, **{noun.key: made.id}, version=after.version, **change(noun))
        await refused(crm, where(noun), late, "ARCHIVED", record_id=made.id)
    if method_of(noun, "List"):
        assert made.id not in await listed(crm, noun)
    back = await ask(crm, noun, "Restore", made.id)
    assert (back.version, back.HasField("archive_time")) == (after.version + 1, False)
    assert (await ask(crm, noun, "Restore", made.id)).version >= back.version, "what is in use is restored without a change"


@each("Create", "Assign")
async def test_an_owner_gives_team_and_department(crm: Installation, specimens: Specimens, noun: Contract) -> None:
    made = await specimens.made(noun)
    owner = crm.people["SALES_LEAD"]
    after = await ask(crm, noun, "Assign", made.id, owner_id=owner)
    assert (after.owner_id, after.team_id, after.department_id) == (owner, crm.units["sales-team"], crm.units["sales"])
    nobody = crm.ask(method_of(noun, "Assign").name, **{noun.key: made.id}, owner_id="nobody")
    await refused(crm, where(noun), nobody, "REFERENCE_NOT_FOUND", field="owner_id", record_id=made.id)


@each("Create")
async def test_a_command_sent_twice_is_done_once(crm: Installation, specimens: Specimens, noun: Contract) -> None:
    fields, name = await specimens.fields(noun), method_of(noun, "Create").name
    first = await crm.ask(name, request_id=(twice := new_id()), **fields)
    assert await crm.ask(name, request_id=twice, **fields) == first
    assert len(await told(crm, noun, getattr(first, snake(noun.name)).id)) == 1
    other = {**fields, **next((one for one in others(noun, fields)), {})}
    if other != fields:
        await refused(crm, where(noun), crm.ask(name, request_id=twice, **other), "REQUEST_ID_REUSED", field="request_id")


def others(noun: Contract, fields: dict[str, Any]) -> list[dict[str, Any]]:
    texts = [name for name in CHANGED if isinstance(fields.get(name), str)]
    return [{name: f"other {new_id()}"} for name in texts]


# ---- refusals


@each("Create")
async def test_a_value_that_breaks_a_rule_is_refused_by_its_name(crm: Installation, specimens: Specimens, noun: Contract) -> None:
    method, fields = method_of(noun, "Create"), await specimens.fields(noun)
    tried = 0
    for field in method.input_type.fields:
        for value in wrong_values(field):
            answer = crm.ask(method.name, **{**fields, field.name: value})
            refusal = await refused(crm, where(noun), answer, "INVALID_ARGUMENT")
            assert refusal.field.startswith(field.name), (field.name, value, refusal.message)
            tried += 1
    assert tried, "the contract has no rule at all"


# ---- lists


@each("Create", "List")
async def test_pages_have_no_repeat_and_no_gap_in_any_order(crm: Installation, specimens: Specimens, noun: Contract) -> None:
    for _ in range(5):
        await specimens.made(noun)
    orders = noun.record.file.enum_types_by_name.get(f"{noun.name}Order")
    numbers = [value.number for value in orders.values] if orders else [0]
    for number in numbers:
        order = {"order_by": number} if number else {}
        whole = await listed(crm, noun, 100, **order)
        assert len(whole) == len(set(whole)) >= 5
        paged = await listed(crm, noun, 3, pages=4, **order)
        assert paged == whole[: len(paged)]
    other = crm.ask(method_of(noun, "List").name, page_token="x" * 40)
    await refused(crm, where(noun), other, "PAGE_TOKEN_INVALID")


async def listed(crm: Installation, noun: Contract, size: int = 100, pages: int = 100, **more: Any) -> list[str]:
    """Ids of so many pages."""
    found: list[str] = []
    token = ""
    for _ in range(pages):
        answer = await crm.ask(method_of(noun, "List").name, page_size=size, page_token=token, read_mask={"paths": ["id"]}, **more)
        page = [row.id for row in getattr(answer, noun.resource)]
        found = page + found if more.get("backward") else found + page
        token = answer.next_page_token
        if not token:
            break
    return found


@each("Create", "List")
async def test_a_list_is_counted_and_walked_both_ways_by_any_field(crm: Installation, specimens: Specimens, noun: Contract) -> None:
    for _ in range(3):
        await specimens.made(noun)
    method = method_of(noun, "List")
    for name in samples.sample(sorted(sortable_fields(noun.record)), 3, f"{noun.resource}.sorts"):
        for descending in (False, True):
            order = {
                "sort_by": [{"field": name, "descending": descending}, {"field": "create_time", "descending": True}][
                    : 1 + (name != "create_time")
                ]
            }
            whole = await listed(crm, noun, 100, **order)
            assert len(whole) == len(set(whole)) >= 3
            assert await listed(crm, noun, 100, backward=True, **order) == whole
            assert await listed(crm, noun, 2, pages=2, **order) == whole[:4]
            passed = await crm.ask(method.name, page_size=2, skip=1, **order)
            assert [row.id for row in getattr(passed, noun.resource)] == whole[1:3]
    answer = await crm.ask(method.name, page_size=1, count_up_to=10_000)
    assert (answer.total.count, answer.total.exact) == (len(await listed(crm, noun)), True)
    least = await crm.ask(method.name, page_size=1, count_up_to=2)
    assert (least.total.count, least.total.exact) == (2, False)


@each("Create", "List")
async def test_a_text_is_found_by_any_part_of_it_and_a_record_by_its_id(crm: Installation, specimens: Specimens, noun: Contract) -> None:
    method = method_of(noun, "List")
    if "filter" not in method.input_type.fields_by_name:
        return
    made = await specimens.made(noun)

    async def found(field: str, operator: int, text: str) -> set[str]:
        criteria = {"condition": {"field": field, "operator": operator, "values": [{"text": text}]}}
        return {row.id for row in getattr(await crm.ask(method.name, page_size=100, filter=criteria), noun.resource)}

    assert await found("id", criteria_pb2.OPERATOR_IN, made.id) == {made.id}
    for name in marks_of(noun.record):
        text = getattr(made, name)
        for one in [text] if isinstance(text, str) else list(text):
            if not one:
                continue
            assert made.id in await found(name, criteria_pb2.OPERATOR_CONTAINS, one[1:].upper() or one), name
            assert made.id in await found(name, criteria_pb2.OPERATOR_STARTS_WITH, one.swapcase()), name
            assert made.id not in await found(name, criteria_pb2.OPERATOR_CONTAINS, one + "x"), name


# ---- imports


@each("BatchUpsert")
async def test_an_import_is_done_once_however_often(crm: Installation, specimens: Specimens, noun: Contract) -> None:
    row = await specimens.row(noun, f"every:{new_id()}")
    name, rows = method_of(noun, "BatchUpsert").name, method_of(noun, "BatchUpsert").input_type.fields[2].name
    collection = crm.suite[noun.department].database[noun.resource]
    trial = await crm.ask(name, validate_only=True, **{rows: [row]})
    assert [(one.result, one.error_message) for one in trial.outcomes] == [(CREATED, "")]
    assert await collection.find_one({"source_key": row.source_key}) is None
    for result in (CREATED, UNCHANGED):
        answer = await crm.ask(name, **{rows: [row]})
        assert [(one.result, one.error_message) for one in answer.outcomes] == [(result, "")]
    assert await collection.count_documents({"source_key": row.source_key}) == 1
    nameless = type(row)()
    nameless.CopyFrom(row)
    nameless.source_key = ""
    answer = await crm.ask(name, **{rows: [nameless]})
    assert [(one.result, one.error_field) for one in answer.outcomes] == [(4, "source_key")]


@each("BatchUpsert")
async def test_an_import_changes_nothing_that_is_given_once_and_kept(crm: Installation, specimens: Specimens, noun: Contract) -> None:
    row = await specimens.row(noun, f"kept:{new_id()}")
    name, rows = method_of(noun, "BatchUpsert").name, method_of(noun, "BatchUpsert").input_type.fields[2].name
    first = await crm.ask(name, **{rows: [row]})
    stored = await crm.suite[noun.department].database[noun.resource].find_one({"_id": first.outcomes[0].id})
    for field in sorted(set(noun.immutable) - {"stage_key"}):  # an import tells of a later stage, as a command does
        given = noun.field(field)
        if given.is_repeated:
            continue
        other = type(row)()
        other.CopyFrom(row)
        if given.enum_type is not None:
            numbers = [one.number for one in given.enum_type.values if one.number and one.number != getattr(row, field)]
            setattr(other, field, numbers[0])
        elif given.cpp_type == given.CPPTYPE_STRING:
            setattr(other, field, OTHERS.get(field, f"other-{new_id()}"))
        else:
            setattr(other, field, getattr(row, field) + 1)
        (told,) = (await crm.ask(name, **{rows: [other]})).outcomes
        assert (told.result, told.error_code, told.error_field) == (4, "INVALID_ARGUMENT", field), told.error_message
        assert await crm.suite[noun.department].database[noun.resource].find_one({"_id": first.outcomes[0].id}) == stored


# ---- what is kept


@each("Create")
async def test_personal_values_lie_nowhere_in_clear(crm: Installation, specimens: Specimens, noun: Contract) -> None:
    taken = [name for name in personal_fields(noun.record) if name in method_of(noun, "Create").input_type.fields_by_name]
    if not taken:
        return
    canaries = {
        name: good(noun.field(name)) if traits(noun.field(name)).form in FORMS else f"CANARY{new_id().upper()}"[:40] for name in taken
    }
    made = await specimens.made(noun, **canaries)
    assert {name: getattr(made, name) for name in taken} == canaries
    database = crm.suite[noun.department].database
    kept = [
        await database[noun.resource].find_one({"_id": made.id}), await database[OUTBOX].find({"headers.ce-subject": made.id}).to_list(),
        await database[AUDIT].find({"record_id": made.id}).to_list(), await database[REQUESTS].find({}).sort("create_time", -1).limit(3).to_list(),
    ]  # fmt: skip
    assert [value for value in canaries.values() if value.lower() in str(kept).lower()] == []


async def told(crm: Installation, noun: Contract, identity: str) -> list[tuple[int, str]]:
    """The facts of a record: version and name."""
    rows = await crm.suite[noun.department].database[OUTBOX].find({"headers.ce-subject": identity}).to_list()
    return sorted((int(row["headers"]["ce-version"]), row["headers"]["ce-type"].rsplit(".", 1)[1]) for row in rows)


async def audited(crm: Installation, noun: Contract, identity: str) -> list[int]:
    """The versions that the history of a record tells of."""
    from crm.common.v1 import history_service_pb2

    service = history_service_pb2.DESCRIPTOR.services_by_name["HistoryService"]
    request = history_service_pb2.ListRecordHistoryRequest(resource=noun.resource, record_id=identity)
    answer = await crm.channels[noun.department].call(service, "ListRecordHistory", request, token=await crm.link.token())
    return sorted(entry.version for entry in answer.entries)
