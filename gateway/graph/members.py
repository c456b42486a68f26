"""Memberships of segments as an edge: from a segment to its customers, from a customer to its segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm.customer.v1 import segment_pb2, segment_service_pb2
from strawberry.types import Info

from chassis.kernel.errors import CrmError
from gateway.departments.errors import field_error
from gateway.departments.loaders import GroupQuestion, load_groups
from gateway.graph.connections import connection_type
from gateway.graph.contract import output_class
from gateway.graph.edges import edge, page_of
from gateway.graph.noun import list_arguments, list_request
from gateway.graph.selection import once_asked

_SERVICE = segment_service_pb2.DESCRIPTOR.services_by_name["SegmentService"]


def segment_members(method_name: str, description: str) -> Any:
    """The edge whose rows are memberships; `method_name` decides from which side."""
    method = _SERVICE.methods_by_name[method_name]
    member_row = segment_pb2.SegmentMember.DESCRIPTOR
    member = output_class(member_row)

    def question(info: Info, given: Mapping[str, Any]) -> GroupQuestion:
        try:
            return GroupQuestion.of("customer", _SERVICE, method, list_request(method, member_row, given, info))
        except CrmError as error:
            raise field_error(error, "customer") from None

    async def resolve(roots: Sequence[Any], info: Info, **given: Any) -> Sequence[Any]:
        asked: GroupQuestion = once_asked(info, method.name, lambda: question(info, given))
        groups = await load_groups(info.context, asked, [root.id for root in roots])
        return [page_of(found, "segment_members", asked.request) for found in groups]

    return edge(resolve, list_arguments(method, member_row), connection_type(member) | None, description, method)
