"""Records of another department, looked at with the caller's own token: what they may not see does not exist for them.

What is only shown to them by a sharing contract is not theirs to build on: work on a customer would open it to them for good.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.field_mask_pb2 import FieldMask

from chassis.kernel.errors import Conflict, CrmError, NotFound
from chassis.rpc.call import Call
from chassis.rpc.channels import DEFAULT_SECONDS, Channel
from chassis.rpc.service import request_class

BATCH = 100


class RemoteRecords:
    """The BatchGet of a noun that another department owns; `method` e.g. "BatchGetCustomers", `fields` what is needed of it: no more is read."""

    def __init__(self, channel: Channel, service: ServiceDescriptor, method: str, fields: Sequence[str] = ()) -> None:
        self.channel, self.service, self.method = channel, service, method
        self.rows = service.methods_by_name[method].output_type.fields[0].name
        row = service.methods_by_name[method].output_type.fields[0].message_type
        self.noun = row.name
        self.fields = [name for name in ("id", "archive_time", *fields) if name in row.fields_by_name]

    async def batch_get(self, call: Call, ids: Iterable[str]) -> dict[str, Any]:
        """Messages by id. Raises Unavailable when the department does not answer."""
        wanted = list(dict.fromkeys(ids))
        found: dict[str, Any] = {}
        for start in range(0, len(wanted), BATCH):
            request = request_class(self.service.methods_by_name[self.method])(
                ids=wanted[start : start + BATCH], read_mask=FieldMask(paths=self.fields)
            )
            seconds = min(DEFAULT_SECONDS, call.milliseconds_left / 1000)  # the caller's deadline, passed on
            answer = await self.channel.call(
                self.service, self.method, request, token=call.caller.token, request_id=call.request_id, seconds=seconds, by_roles=True
            )
            found |= {message.id: message for message in getattr(answer, self.rows)}
        return found

    async def refusals(self, call: Call, documents: list[dict[str, Any]], field: str) -> list[CrmError | None]:
        """A refusal for each document whose reference is not to be had.

        An import is not asked about: its references are reckoned from natural keys, and may come in after it.
        """
        if call.method.startswith("BatchUpsert"):
            return [None] * len(documents)
        asked = [document[field] for document in documents if document.get(field)]
        found = await self.batch_get(call, asked) if asked else {}
        return [self._refusal(document, field, found) for document in documents]

    def _refusal(self, document: dict[str, Any], field: str, found: dict[str, Any]) -> CrmError | None:
        identity = document.get(field)
        if not identity:
            return None
        if identity in found:
            archived = "archive_time" in found[identity].DESCRIPTOR.fields_by_name and found[identity].HasField("archive_time")
            words = f"the {self.noun.lower()} is archived; restore it first"
            return Conflict(words, code="ARCHIVED", field=field, retryable=False) if archived else None
        text = f"there is no {self.noun.lower()} «{identity}» that you may see; check {field}"
        return NotFound(text, code="REFERENCE_NOT_FOUND", field=field)


def first_of(*refusals: list[CrmError | None]) -> list[CrmError | None]:
    """For each document the first refusal of several checks."""
    return [next((found for found in each if found), None) for each in zip(*refusals, strict=True)]
