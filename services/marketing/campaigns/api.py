"""CampaignService."""

from __future__ import annotations

from functools import partial

from chassis.rpc.noun import Noun
from chassis.rpc.remote import RemoteRecords
from chassis.rpc.service import Rule, Service
from services.marketing.campaigns import actions, model
from services.marketing.campaigns.store import Campaigns


def service(campaigns: Campaigns, segments: RemoteRecords) -> Service:
    """The handlers of campaigns."""

    follows = {"LaunchCampaign": "PREPARING", "ScheduleCampaign": "SCHEDULED", "UnscheduleCampaign": "DRAFT", "PauseCampaign": "PAUSED",
               "CompleteCampaign": "COMPLETED", "CancelCampaign": "CANCELLED"}  # fmt: skip
    states: dict[str, tuple[Rule, ...]] = {method: (partial(model.may_become, state),) for method, state in follows.items()}
    states |= {"ResumeCampaign": (model.must_be_paused,)}
    noun = Noun(campaigns, model.check, changeable=model.must_be_draft, refers=(segments,), states=states)
    return noun.serve(
        LaunchCampaign=partial(actions.launch, campaigns),
        ScheduleCampaign=partial(actions.schedule, campaigns),
        UnscheduleCampaign=partial(actions.unschedule, campaigns),
        PauseCampaign=partial(actions.pause, campaigns),
        ResumeCampaign=partial(actions.resume, campaigns),
        CompleteCampaign=partial(actions.complete, campaigns),
        CancelCampaign=partial(actions.cancel, campaigns),
        RecordCampaignCost=partial(actions.record_cost, campaigns),
    )
