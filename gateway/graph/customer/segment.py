"""Members of segments: who is in one, and in which one customers are."""

from __future__ import annotations

from crm.customer.v1 import segment_pb2

from gateway.graph.contract import finish, output_class
from gateway.graph.edges import to_one
from gateway.graph.members import segment_members
from gateway.graph.noun import NOUNS

MEMBER = output_class(segment_pb2.SegmentMember.DESCRIPTOR)


def edges() -> None:
    """Called when every noun is known."""
    NOUNS["Segment"].edge("members", segment_members("BatchListSegmentMembers", "The customers in it, that entered last first."))
    MEMBER.customer = to_one("Customer", "customer_id", "The customer.")  # type: ignore[attr-defined]
    MEMBER.segment = to_one("Segment", "segment_id", "The segment.")  # type: ignore[attr-defined]
    finish(MEMBER)
