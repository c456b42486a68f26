"""OpportunityService."""

from __future__ import annotations

from functools import partial

from chassis.rpc.noun import Noun
from chassis.rpc.remote import RemoteRecords
from chassis.rpc.service import Service
from services.sales.opportunities import actions, boards, model
from services.sales.opportunities.store import Opportunities
from services.sales.pipelines.store import Pipelines
from services.sales.products.store import Products


def service(
    opportunities: Opportunities, pipelines: Pipelines, products: Products, customers: RemoteRecords, contacts: RemoteRecords
) -> Service:
    """The handlers of opportunities."""
    noun = Noun(
        opportunities,
        model.check,
        partial(actions.complete, pipelines),
        changeable=model.must_be_open,
        refers=(products, customers, contacts),
        moves=("stage_key",),
        states={
            "MoveOpportunityStage": (opportunities.in_use, model.must_be_open),
            "WinOpportunity": (opportunities.in_use, model.must_be_open),
            "LoseOpportunity": (opportunities.in_use, model.must_be_open),
            "ReopenOpportunity": (opportunities.in_use, model.must_be_decided),
        },
    )
    return noun.serve(
        MoveOpportunityStage=partial(actions.move_stage, opportunities, pipelines),
        WinOpportunity=partial(actions.win, opportunities),
        LoseOpportunity=partial(actions.lose, opportunities),
        ReopenOpportunity=partial(actions.reopen, opportunities, pipelines),
        BoardOpportunities=boards.board(opportunities, pipelines),
    )
