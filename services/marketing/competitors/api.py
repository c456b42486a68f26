"""CompetitorService."""

from __future__ import annotations

from functools import partial

from chassis.rpc.channels import Channel
from chassis.rpc.noun import Noun
from chassis.rpc.service import Service
from services.marketing.competitors import actions, model
from services.marketing.competitors.store import Competitors


def service(competitors: Competitors, sales: Channel) -> Service:
    """The handlers of competitors."""
    return Noun(competitors, model.check, partial(actions.lost, actions.of_sales(sales))).serve()
