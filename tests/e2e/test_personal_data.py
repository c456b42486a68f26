"""Personal data: unreadable wherever it lies, found by its whole value, gone everywhere when the customer is erased."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from chassis.observe.logs import JsonLines
from chassis.storage.encryption import Masters, Vault
from cli.plan import DEPARTMENTS, new_master
from gateway.graph.contract import to_global
from tests.support.checks import refused
from tests.support.installation import Engines, Installation

ERASE = """mutation($input: CustomerEraseInput!) { customerErase(input: $input) {
    customer { name phone email taxNumber eraseTime archiveTime } errors { code path } } }"""
DISCLOSE = (
    "query($id: ID!) { customerDisclosure(customerId: $id) { department place recordCount records { values { field value personal } } } }"
)


class Person:
    """A private customer of whom every department knows something; each canary is unlike anything else."""

    def __init__(self, mark: str) -> None:
        digits = "".join(str(ord(letter) % 10) for letter in mark[-8:])
        self.phone, self.email = f"139{digits}", f"{mark}@canary.example"
        self.tax, self.address = f"TAX{mark}".upper(), f"ADR{mark} 路 1 号"
        self.note, self.description = f"NOTE{mark} 对花生过敏", f"DESC{mark} 地址写错了"
        self.id, self.name = "", "李四"

    @property
    def canaries(self) -> list[str]:
        return [self.phone, self.email, self.tax, self.address, self.note, self.description]


@pytest.fixture
async def person(crm: Installation) -> Person:
    made = Person(new_id()[:12])
    customer = await crm.ask(
        "CreateCustomer",
        role="COORDINATOR",
        name="李四",
        kind=2,
        phone=made.phone,
        email=made.email,
        tax_number=made.tax,
        address=made.address,
    )
    made.id = customer.customer.id
    await crm.ask("CreateContact", role="COORDINATOR", customer_id=made.id, name="李四", phone=made.phone, email=made.email)
    await crm.ask("CreateNote", role="COORDINATOR", customer_id=made.id, text=made.note)
    await crm.ask("CreateTicket", role="COORDINATOR", subject="改地址", customer_id=made.id, description=made.description, channel=1)
    await crm.settled()
    return made


async def _stored(crm: Installation) -> str:
    """Everything that the databases and the streams hold, as bytes would show it."""
    found: list[str] = []
    for department in map(crm.suite.__getitem__, DEPARTMENTS):
        for name in await department.database.list_collection_names():
            found += [
                repr(row) async for row in department.database[name].find({"$or": [{"_id": {"$exists": True}}]}).sort("_id", -1).limit(300)
            ]
    return "\n".join(found)


async def test_nothing_personal_is_readable_in_any_database(crm: Installation, person: Person) -> None:
    text = await _stored(crm)
    assert person.id in text
    assert [canary for canary in person.canaries if canary in text] == []


async def test_nor_in_any_file_log_or_stream(crm: Installation, engines: Engines) -> None:
    """What was refused on the way is looked for too. The customer's name, which is no secret, shows that the search finds things."""
    lines, listener = Lines(), logging.getLogger()
    listener.addHandler(lines)
    level = listener.level
    listener.setLevel(logging.INFO)
    try:
        made = Person(new_id()[:12])
        made.name = f"NAME{new_id()}"
        given = {
            "role": "COORDINATOR",
            "kind": 2,
            "phone": made.phone,
            "email": made.email,
            "tax_number": made.tax,
            "address": made.address,
        }
        made.id = (await crm.ask("CreateCustomer", name=made.name, **given)).customer.id
        for wrong in ({"email": f"{made.email} x"}, {"phone": made.phone * 20}, {}):  # no mail, too long, tax number taken
            with pytest.raises(CrmError):
                await crm.ask("CreateCustomer", name=made.name, **given | wrong)
        await crm.graph(f'{{ customerSearch(query: "{made.phone}") {{ id nope(x: "{made.email}") }} }}')
        await crm.graph(
            "mutation($input: CustomerCreateInput!) { customerCreate(input: $input) { errors { message } } }", input={"phone": made.phone}
        )
        await crm.ask("CreateNote", role="COORDINATOR", customer_id=made.id, text=made.note)
        ticket = {"subject": "改地址", "customer_id": made.id, "description": made.description, "channel": 1}
        await crm.ask("CreateTicket", role="COORDINATOR", **ticket)
        await crm.graph("query($id: ID!) { customer(id: $id) { phone email } }", id=to_global("Customer", made.id))
        await crm.settled()
    finally:
        listener.removeHandler(lines)
        listener.setLevel(level)
    await crm.suite["customer"].database.client.admin.command("fsync")
    for place, content in [("log", "\n".join(lines.written).encode()), *_files(engines.folder, "mongo"), *_files(engines.folder, "nats")]:
        assert [canary for canary in made.canaries if canary.encode() in content] == [], place
    assert len(lines.written) > 3
    for engine in ("mongo", "nats"):
        assert any(made.name.encode() in content for _, content in _files(engines.folder, engine)), engine


class Lines(logging.Handler):
    """Every log line as it would be written."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(JsonLines("test"))
        self.written: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.written.append(self.format(record))


def _files(folder: Path, engine: str) -> Iterator[tuple[str, bytes]]:
    """The files of an engine, with its log."""
    for path in sorted(folder.glob(f"{engine}*/**/*")) + sorted(folder.glob(f"{engine}*.log")):
        if path.is_file():
            yield str(path), path.read_bytes()


async def test_a_person_is_found_by_the_whole_value_and_read_by_who_may(crm: Installation, person: Person) -> None:
    for question in (person.phone, person.phone[-4:], person.phone[:7], person.email, person.email.upper(), person.tax):
        found = (await crm.ask("SearchCustomers", role="COORDINATOR", query=question, page_size=50)).customers
        assert person.id in [customer.id for customer in found], question
    query = f'{{ contacts(filter: {{email: {{eq: "{person.email.upper()}"}}}}) {{ nodes {{ phone email }} }} }}'
    assert (await crm.data(query, "COORDINATOR"))["contacts"]["nodes"] == [{"phone": person.phone, "email": person.email}]
    body = await crm.graph(f'{{ contacts(filter: {{email: {{startsWith: "{person.email[:4]}"}}}}) {{ nodes {{ id }} }} }}', "COORDINATOR")
    assert (body["errors"][0]["extensions"]["code"], "whole value" in body["errors"][0]["message"]) == ("CRITERIA_INVALID", True)


async def test_a_second_holder_of_a_tax_number_is_refused_without_the_number_being_stored(crm: Installation, person: Person) -> None:
    second = crm.ask("CreateCustomer", role="COORDINATOR", name="冒名", kind=2, tax_number=person.tax.lower())
    await refused(crm, "customer.customers", second, "TAX_NUMBER_TAKEN")


async def test_a_repeated_command_gets_the_same_answer_from_what_is_kept_sealed(crm: Installation) -> None:
    given: dict[str, Any] = {"role": "COORDINATOR", "name": "重复", "kind": 2, "phone": "13712345678", "request_id": f"again-{new_id()}"}
    first, second = [await crm.ask("CreateCustomer", **given) for _ in range(2)]
    assert (first.SerializeToString(), second.customer.phone) == (second.SerializeToString(), "13712345678")


async def test_a_value_moved_to_another_record_is_not_believed(crm: Installation, person: Person) -> None:
    other = (await crm.ask("CreateCustomer", role="COORDINATOR", name="王五", kind=2, phone="13500001111")).customer.id
    rows = crm.suite["customer"].database["customers"]
    stolen = await rows.find_one({"_id": person.id})
    await rows.update_one({"_id": other}, {"$set": {"phone": (stolen or {})["phone"]}})
    assert (await crm.ask("GetCustomer", role="COORDINATOR", customer_id=other)).customer.phone == ""


async def test_erasing_leaves_nothing_to_read_anywhere(crm: Installation, person: Person) -> None:
    identity = to_global("Customer", person.id)
    places = (await crm.data(DISCLOSE, "COORDINATOR", id=identity))["customerDisclosure"]
    told = str(places)
    assert [canary for canary in person.canaries if canary not in told] == []
    assert {(place["department"], place["place"]) for place in places} >= {
        ("customer", "customers"), ("customer", "contacts"), ("customer", "notes"), ("customer", "timeline_entries"), ("support", "tickets"),
    }  # fmt: skip
    kept = await crm.suite["customer"].database["customers"].find_one({"_id": person.id})
    done = (await crm.data(ERASE, "COORDINATOR", input={"customerId": identity, "reason": "本人要求"}))["customerErase"]
    assert done["errors"] == []
    assert (done["customer"]["name"], done["customer"]["phone"], done["customer"]["email"]) == ("已删除", None, None)
    assert done["customer"]["eraseTime"]
    await crm.settled()
    told = str((await crm.data(DISCLOSE, "COORDINATOR", id=identity))["customerDisclosure"])
    assert [canary for canary in person.canaries if canary in told] == []
    for department in ("customer", "support"):
        row = await crm.suite[department].database["subject_keys"].find_one({"_id": person.id})
        assert row
        assert ("destroy_time" in row, "key" in row) == (True, False)
    # A backup of yesterday holds the sealed values, and nobody can open them any more.
    await crm.suite["customer"].database["customers"].update_one({"_id": person.id}, {"$set": {"phone": (kept or {})["phone"]}})
    assert (await crm.ask("GetCustomer", role="COORDINATOR", customer_id=person.id)).customer.phone == ""
    for question in (person.phone, person.email, person.tax):
        found = (await crm.ask("SearchCustomers", role="COORDINATOR", query=question, page_size=50)).customers
        assert person.id not in [customer.id for customer in found]
    audit = [row async for row in crm.suite["customer"].database["audit_entries"].find({"record_id": person.id})]
    assert [row["reason"] for row in audit if row["action"] == "CustomerErased"] == ["本人要求"]


async def test_what_was_erased_does_not_come_back(crm: Installation, person: Person) -> None:
    await crm.ask("EraseCustomer", role="COORDINATOR", customer_id=person.id, reason="本人要求")
    again = await crm.ask("EraseCustomer", role="COORDINATOR", customer_id=person.id, reason="本人要求")
    assert again.customer.name == "已删除"
    back = crm.ask("RestoreCustomer", role="COORDINATOR", customer_id=person.id)
    await refused(crm, "customer.customers", back, "ERASED", record_id=person.id)
    more = crm.ask("CreateNote", role="COORDINATOR", customer_id=person.id, text="又写一条")
    await refused(crm, "customer.notes", more, "ARCHIVED")


@pytest.mark.parametrize("role", ["SALES_REP", "SALES_LEAD", "MARKETER", "SUPPORT_AGENT", "ADMINISTRATOR"])
async def test_only_who_coordinates_erases_and_discloses(crm: Installation, role: str, person: Person) -> None:
    erase = crm.ask("EraseCustomer", role=role, customer_id=person.id, reason="x")
    await refused(crm, "customer.customers", erase, "NOT_ALLOWED", record_id=person.id)
    body = await crm.graph(DISCLOSE, role, id=to_global("Customer", person.id))
    assert body["errors"][0]["extensions"]["code"] == "NOT_ALLOWED"


async def test_master_keys_are_changed_while_people_read_and_write(crm: Installation, person: Person) -> None:
    department = crm.suite["support"]
    older = Vault(department.database.client.get_database(f"v{new_id()}"), Masters.of(new_master()))
    await older.begin()
    first = new_master()
    database = older.database
    both = Vault(database, Masters({**Masters.of(first).keys, **older.masters.keys}))
    await both.begin()
    changes = department.changes("p", "r", "Test")
    changes.database, changes.vault = database, older
    keys = dict(await changes.keys_of([f"s{number}" for number in range(1200)]))
    sealed = {subject: key.encrypt(b"0" * 12, subject.encode(), b"") for subject, key in keys.items()}
    await changes.commit()

    async def read() -> int:
        good = 0
        for subject in list(sealed)[::7]:
            both.forget(subject)
            good += (await both.keys([subject]))[subject].decrypt(b"0" * 12, sealed[subject], b"") == subject.encode()
        return good

    done, good = await asyncio.gather(both.rewrap(), read())
    assert (done, good) == (1201, len(list(sealed)[::7]))
    alone = Vault(database, Masters.of(first))
    await alone.begin()
    assert set(await alone.keys(sealed)) == set(sealed)
    with pytest.raises(CrmError, match="is missing from CRM_MASTER_KEYS"):
        await older.begin()
    await database.client.drop_database(database.name)
