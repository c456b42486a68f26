"""The unified graph in users' words: one customer, every department, one operation."""

from __future__ import annotations

from tests.support.installation import Installation


async def test_a_customer_reaches_every_department_in_one_operation(crm: Installation) -> None:
    made = await crm.data(
        """mutation { customerCreate(input: {kind: COMPANY, name: "上海慕云澜汐贸易有限公司", phone: "021-5555 1234"}) {
             customer { id version lifecycle owner { name } } errors { code message path } } }"""
    )
    customer = made["customerCreate"]["customer"]
    assert customer["lifecycle"] == "CONTACT"
    assert customer["version"] == 1
    found = await crm.data('{ customerSearch(query: "muyunlanxi") { id name } }')
    assert [hit["name"] for hit in found["customerSearch"]] == ["上海慕云澜汐贸易有限公司"]
    body = await crm.data(
        """query($id: ID!) { customer(id: $id) { name contacts { nodes { name } } openOpportunities { nodes { name } } orders { nodes { number } }
             orderTotals { saleCount } messages { nodes { state } } tickets { nodes { subject } } notes { nodes { text } }
             timeline { nodes { eventType } } segments { nodes { enterTime } } owner { name } parent { name } children { nodes { name } } } }""",
        id=customer["id"],
    )
    assert body["customer"]["name"] == "上海慕云澜汐贸易有限公司"
    assert body["customer"]["contacts"] == {"nodes": []}
