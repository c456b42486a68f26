"""Who does not get the tags of a kind learns them by no door: suggestions, filters, and commands that would tell whether a tag is there."""

from __future__ import annotations

import pytest

from chassis.kernel.errors import CrmError
from tests.e2e.test_access_roles import holder, role
from tests.support.installation import Installation


async def test_hidden_tags_are_told_by_no_door(crm: Installation) -> None:
    acts = [("customers", "read", "ALL"), ("customers", "update", "ALL")]
    found = await role(crm, "看不到标签", acts, [("customers", "tags", "HIDDEN")])
    await holder(crm, "tagless", found["id"])
    made = (await crm.ask("CreateCustomer", role="COORDINATOR", name="有标签", kind=1, tags=["秘密"])).customer
    assert list((await crm.ask("GetCustomer", role="tagless", customer_id=made.id)).customer.tags) == []
    told = await crm.graph("{ customerTags { tag count } }", "tagless")
    assert [one["extensions"]["code"] for one in told["errors"]] == ["FIELD_NOT_READABLE"] and told["data"]["customerTags"] is None
    filtered = await crm.graph('{ customers(filter: {tags: {eq: "秘密"}}) { nodes { id } } }', "tagless")
    assert filtered.get("errors") or filtered["data"]["customers"]["nodes"] == []
    for method, ids in (("TagCustomer", {"customer_id": made.id}), ("BulkTagCustomers", {"ids": [made.id]})):
        for field in ("add_tags", "remove_tags"):
            with pytest.raises(CrmError) as refused:
                await crm.ask(method, role="tagless", **ids, **{field: ["秘密"]})
            assert (refused.value.code, refused.value.field) == ("NOT_ALLOWED", field)
    assert (await crm.ask("GetCustomer", role="COORDINATOR", customer_id=made.id)).customer.version == 1
