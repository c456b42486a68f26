"""CompetitorService."""

from __future__ import annotations

from crm.sales.v1 import opportunity_pb2

from chassis.rpc.channels import Channel
from chassis.rpc.noun import Noun
from chassis.rpc.remote import RemoteRecords
from chassis.rpc.service import Service
from services.marketing.competitors import model
from services.marketing.competitors.store import Competitors


def service(competitors: Competitors, sales: Channel) -> Service:
    """The handlers of competitors."""
    lost = RemoteRecords(sales, opportunity_pb2.Opportunity, ("name", "state"), model.must_be_lost)
    return Noun(competitors, model.check, refers=(lost,)).serve()
