"""What has to be looked at before a competitor is made or changed: the opportunities that were lost to it, in the sales department."""

from __future__ import annotations

from typing import Any

from crm.sales.v1 import opportunity_pb2

from chassis.kernel.errors import CrmError
from chassis.rpc.call import Call
from chassis.rpc.documents import to_document
from chassis.rpc.remote import RemoteRecords, absent, named
from services.marketing.competitors import model

Document = dict[str, Any]
FIELD = "lost_opportunity_ids"
ASKED = ("name", "state")


def of_sales(channel: Any) -> RemoteRecords:
    """The opportunities, as far as they matter here."""
    return RemoteRecords(channel, opportunity_pb2.Opportunity, ASKED)


async def lost(opportunities: RemoteRecords, call: Call, batch: list[Document]) -> list[CrmError | None]:
    """For a batch: what is said to be lost to a competitor was lost, as far as the caller may see. An import is not asked, as for all
    references to other departments."""
    if call.method.startswith("BatchUpsert"):
        return [None] * len(batch)
    rows = await opportunities.seen(call, (identity for document in batch for identity in named(document, FIELD)))
    found = {identity: to_document(one) for identity, one in rows.items()}
    return [next(filter(None, (_refusal(found, identity) for identity in named(each, FIELD))), None) for each in batch]


def _refusal(found: dict[str, Document], identity: str) -> CrmError | None:
    if identity not in found:
        return absent("opportunity", identity, FIELD)
    return model.must_be_lost(identity, found[identity].get("state", ""), found[identity].get("name", ""))
