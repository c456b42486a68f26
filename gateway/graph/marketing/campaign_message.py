"""CampaignMessage in the graph."""

from __future__ import annotations

from crm.marketing.v1 import campaign_message_pb2, campaign_message_service_pb2

from gateway.graph.edges import to_one
from gateway.graph.noun import Noun

CAMPAIGN_MESSAGE = Noun(
    "marketing",
    campaign_message_service_pb2,
    campaign_message_pb2.CampaignMessage,
    mutations={
        "RecordMessageOpen": "campaignMessageRecordOpen",
        "RecordMessageClick": "campaignMessageRecordClick",
        "UnsubscribeMessage": "campaignMessageUnsubscribe",
    },
)


def edges() -> None:
    """What hangs on it; called when every noun is known."""
    CAMPAIGN_MESSAGE.edge("campaign", to_one("Campaign", "campaign_id", "The campaign."))
    CAMPAIGN_MESSAGE.edge("customer", to_one("Customer", "customer_id", "The customer."))
    CAMPAIGN_MESSAGE.edge("contact", to_one("Contact", "contact_id", "The contact."))
