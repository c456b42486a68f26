"""CampaignMessageService."""

from __future__ import annotations

from functools import partial

from crm.marketing.v1 import campaign_message_events_pb2 as events

from chassis.rpc.noun import Noun
from chassis.rpc.service import Service
from services.marketing.messages import actions, model
from services.marketing.messages.store import Messages


def service(messages: Messages) -> Service:
    """The handlers of messages."""
    answers = ("RecordMessageOpen", "RecordMessageClick", "UnsubscribeMessage", "RecordMessageComplaint")
    states = dict.fromkeys(answers, (model.must_be_sent,))
    noun = Noun(messages, model.check, required=("campaign_id", "customer_id", "planned_time"), states=states)
    return noun.serve(
        RecordMessageOpen=partial(actions.notice, messages, events.CampaignMessageOpened, "OPENED"),
        RecordMessageClick=partial(actions.notice, messages, events.CampaignMessageClicked, "CLICKED"),
        UnsubscribeMessage=partial(actions.notice, messages, events.CampaignMessageUnsubscribed, "UNSUBSCRIBED"),
        RecordMessageComplaint=partial(actions.notice, messages, events.CampaignMessageComplained, "COMPLAINED"),
    )
