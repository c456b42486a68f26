"""Campaign in the graph."""

from __future__ import annotations

from crm.marketing.v1 import campaign_pb2, campaign_service_pb2

from gateway.graph.edges import to_many, to_one
from gateway.graph.noun import Noun

CAMPAIGN = Noun("marketing", campaign_service_pb2, campaign_pb2.Campaign)


def edges() -> None:
    """What hangs on it; called when every noun is known."""
    CAMPAIGN.edge("segment", to_one("Segment", "segment_id", "Whom it goes to."))
    CAMPAIGN.edge("owner", to_one("Person", "owner_id", "Who is responsible."))
    CAMPAIGN.edge("messages", to_many("CampaignMessage", "BatchListMessagesOfCampaigns", "The messages, newest first."))
