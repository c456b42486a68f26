"""A customer is found by what the telephone shows and by what a letter is signed with, whoever at the customer it is."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo import UpdateOne

from tests.support.checks import mask
from tests.support.installation import Installation


async def make(crm: Installation, name: str, **more: Any) -> str:
    return str((await crm.ask("CreateCustomer", **{"kind": 1, "name": name, "role": "SALES_REP", **more})).customer.id)


async def found(crm: Installation, query: str, role: str = "SALES_REP") -> list[str]:
    return [hit.id for hit in (await crm.ask("SearchCustomers", role=role, query=query)).customers]


async def test_the_number_the_mail_and_the_name_of_a_contact_find_its_customer(crm: Installation) -> None:
    customer, other = await make(crm, "青岛港务"), await make(crm, "青岛渔业")
    values = {"customer_id": customer, "name": "仇英", "phone": "+86 532 8288 9901 转 12", "email": "Qiu.Ying@harbour.example"}
    contact = (await crm.ask("CreateContact", role="SALES_REP", **values)).contact
    await crm.ask("CreateContact", role="SALES_REP", customer_id=other, name="王伟", phone="13900001234")
    for query in ("0532-82889901", "82889901", "qiu.ying@harbour.example", "仇英", "qiuying", "仇"):
        assert await found(crm, query) == [customer], query
    assert await found(crm, "13900001234") == [other]
    assert await found(crm, "82889901", "MARKETER") == [customer]
    await crm.ask("ArchiveContact", role="SALES_REP", contact_id=contact.id)
    assert await found(crm, "82889901") == []


async def test_a_number_that_is_masked_finds_nobody(crm: Installation) -> None:
    """A manager gets numbers of customers and contacts masked: then a search by one would be a way to guess it."""
    await crm.person("reader of masks", "MANAGER")
    customer = await make(crm, "大连重工", phone="0411-88990011")
    await crm.ask("CreateContact", role="SALES_REP", customer_id=customer, name="柏青", phone="0411-88990022")
    assert await found(crm, "大连重工", "reader of masks") == [customer]
    assert await found(crm, "柏青", "reader of masks") == [customer]
    for query in ("0411-88990011", "88990022"):
        assert await found(crm, query) == [customer]
        assert await found(crm, query, "reader of masks") == []


async def test_terms_of_an_earlier_edition_are_reckoned_anew_beside_the_work(crm: Installation) -> None:
    """As an upgrade finds it: terms that the last build stored."""
    department = crm.suite["customer"]
    customer = await make(crm, "臺灣精密", phone="+886 2 2345 6789")
    contact = (await crm.ask("CreateContact", role="SALES_REP", customer_id=customer, name="解晓东")).contact
    for table, identity in (("customers", customer), ("contacts", contact.id)):
        await department.database[table].bulk_write([UpdateOne({"_id": identity}, {"$set": {"search_terms": ["x老"]}})])
    assert await found(crm, "台湾精密") == await found(crm, "xiexiaodong") == []
    await department.database["migrations"].delete_many({})
    await department._migrate_beside()
    for query in ("台湾精密", "taiwan", "23456789", "xiexiaodong"):
        assert await found(crm, query) == [customer], query
    steps = {row["_id"] async for row in department.database["migrations"].find()}
    assert steps >= {"customers.derived-3-1-terms-1", "contacts.derived-3-1-terms-1"}
    versions = {
        (await crm.ask("GetCustomer", customer_id=customer)).customer.version,
        (await crm.ask("GetContact", contact_id=contact.id)).contact.version,
    }
    assert versions == {1}, "nothing that anybody has to hear of has changed"


@pytest.mark.parametrize("query", ["82889901", "仇英"])
async def test_an_erased_customer_is_not_found_by_its_contacts(crm: Installation, query: str) -> None:
    customer = await make(crm, "已删之人", kind=2)
    await crm.ask("CreateContact", role="SALES_REP", customer_id=customer, name="霍去病", phone="0576-77665544")
    assert await found(crm, "0576-77665544") == [customer]
    await crm.ask("EraseCustomer", role="COORDINATOR", customer_id=customer, reason="asked for")
    assert await found(crm, "0576-77665544") == [] == await found(crm, "霍去病")
    row = await crm.suite["customer"].database["contacts"].find_one({"customer_id": customer})
    assert "search_terms" not in row


async def test_one_contact_is_the_main_one_and_the_mark_moves_in_one_commit(crm: Installation) -> None:
    import asyncio

    customer = await make(crm, "主要联系")
    values = {"role": "SALES_REP", "customer_id": customer, "is_primary": True}
    first = (await crm.ask("CreateContact", **values, name="甲")).contact
    second = (await crm.ask("CreateContact", **values, name="乙")).contact

    async def main() -> list[str]:
        group = (await crm.ask("BatchListContacts", customer_ids=[customer])).groups[0]
        return [one.id for one in group.contacts if one.is_primary]

    assert await main() == [second.id]
    await crm.ask("UpdateContact", role="SALES_REP", contact_id=first.id, version=2, update_mask=mask("is_primary"), is_primary=True)
    assert await main() == [first.id]
    await asyncio.gather(*[crm.ask("CreateContact", **values, name=f"丙{number}") for number in range(6)])
    assert len(await main()) == 1
    rows = [{"source_key": f"prime:{number}", "customer_id": customer, "name": f"丁{number}", "is_primary": True} for number in range(3)]
    outcomes = (await crm.ask("BatchUpsertContacts", contacts=rows)).outcomes
    assert [one.error_code for one in outcomes] == ["", "", ""]
    assert await main() == [outcomes[2].id]
    again = (await crm.ask("BatchUpsertContacts", contacts=rows[2:])).outcomes
    assert [one.result for one in again] == [3], "the same row again changes nothing"
