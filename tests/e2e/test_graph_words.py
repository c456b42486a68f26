"""The graph tells names and values in its own words: in histories, in criteria, in roles and sharing contracts."""

from __future__ import annotations

from typing import Any

from chassis.kernel.ids import new_id
from gateway.graph.contract import to_global
from tests.support.checks import cny
from tests.support.installation import Installation


async def test_a_history_tells_typed_values_in_the_names_of_the_graph(crm: Installation) -> None:
    made = (await crm.ask("CreateOrder", role="COORDINATOR", lines=[{"quantity": 3, "unit_price": cny(5)}])).order
    told = """{ name was { value id } became { value id money { currencyCode amount } time text } }"""
    query = f"query($id: ID!) {{ recordHistory(id: $id) {{ nodes {{ action changes {told} }} }} }}"
    (first,) = (await crm.data(query, "COORDINATOR", id=to_global("Order", made.id)))["recordHistory"]["nodes"]
    begun = {change["name"]: change["became"] for change in first["changes"]}
    assert begun["total"]["money"] == {"currencyCode": "CNY", "amount": "15.00"}
    assert begun["kind"]["text"] == "SALE"
    assert begun["lines"]["value"][0]["unitPrice"] == {"currencyCode": "CNY", "amount": "5.00"}
    assert all(change["was"] is None for change in first["changes"])


async def test_criteria_of_a_segment_are_read_and_sent_back(crm: Installation) -> None:
    criteria = {"industry": {"eq": new_id()}, "ownerId": {"in": [to_global("Person", crm.people["SALES_LEAD"])]}}
    create = """mutation($name: String!, $criteria: CustomerFilter!) { segmentCreate(input: {name: $name, criteria: $criteria})
        { segment { id version criteria } errors { message } } }"""
    made = (await crm.data(create, name=new_id(), criteria=criteria))["segmentCreate"]["segment"]
    assert _same(made["criteria"], criteria)
    update = """mutation($id: ID!, $version: Long!, $criteria: CustomerFilter!) { segmentUpdate(input:
        {segmentId: $id, version: $version, criteria: $criteria}) { segment { criteria } errors { message } } }"""
    again = (await crm.data(update, id=made["id"], version=made["version"], criteria=made["criteria"]))["segmentUpdate"]
    assert again["errors"] == []
    assert again["segment"]["criteria"] == made["criteria"]


def _same(found: dict[str, Any], asked: dict[str, Any]) -> bool:
    """Whether both say the same; comparisons that are all to hold may stand in one object or in a list."""
    return found == asked or {name: one for part in found.get("and", []) for name, one in part.items()} == asked


async def test_a_role_takes_the_names_of_the_graph_and_those_of_policies(crm: Installation) -> None:
    create = """mutation($input: RoleDefinitionCreateInput!) { roleDefinitionCreate(input: $input) { errors { message path }
        roleDefinition { permissions { resource action } fieldPermissions { resource field } } } }"""
    for resource, field in (("campaignMessages", "contactName"), ("campaign_messages", "contact_name")):
        role = {
            "name": new_id(), "permissions": [{"resource": resource, "action": "read", "scope": "ALL"}],
            "fieldPermissions": [{"resource": resource, "field": field, "access": "HIDDEN"}],
        }  # fmt: skip
        made = (await crm.data(create, "ADMINISTRATOR", input=role))["roleDefinitionCreate"]
        assert made["errors"] == []
        assert made["roleDefinition"]["permissions"] == [{"resource": "campaignMessages", "action": "read"}]
        assert {"resource": "campaignMessages", "field": "contactName"} in made["roleDefinition"]["fieldPermissions"]
