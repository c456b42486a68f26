"""Some files of the sample company, at the first orders and tickets of its year."""

from __future__ import annotations

import hashlib

from crm.common.v1 import attachment_service_pb2 as contract

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import from_source
from cli.batches import Batches
from cli.sample.customers import Life

SERVICE = contract.DESCRIPTOR.services_by_name["AttachmentService"]
EACH = 5
_FILES = {
    "orders": ("sales", "验收单.txt", "验收单\n\n订单 {number}\n货物完好，数量相符。\n签收人：\n"),
    "tickets": ("support", "现场记录.txt", "现场记录\n\n工单 {number}\n到场检查，已恢复运行。\n"),
}
# What a second run is told of a file that the first one attached.
_DONE = frozenset(("ALREADY_ATTACHED", "ATTACHMENT_STATE_NOT_ALLOWED"))


async def attach(batches: Batches, life: Life, counts: dict[str, int]) -> None:
    """Attach them, once however often it runs."""
    for resource, (department, name, words) in _FILES.items():
        for record in life.records.get(resource, [])[:EACH]:
            content = words.format(number=record.number).encode()
            try:
                await _attach(batches, department, resource, from_source(resource, record.source_key), name, content)
            except CrmError as error:
                if error.code not in _DONE:
                    raise
            counts["attachments"] = counts.get("attachments", 0) + 1


async def _attach(batches: Batches, department: str, resource: str, record_id: str, name: str, content: bytes) -> None:
    key = hashlib.sha256(f"{record_id}{name}".encode()).hexdigest()[:32]
    begin = contract.BeginAttachmentRequest(
        request_id=f"sample-{key}", resource=resource, record_id=record_id, name=name, size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )  # fmt: skip
    identity = (await batches.call(department, SERVICE, "BeginAttachment", begin)).attachment.id
    await batches.call(department, SERVICE, "AppendPart", contract.AppendPartRequest(attachment_id=identity, data=content))
    complete = contract.CompleteAttachmentRequest(request_id=f"sample-{key}-end", attachment_id=identity)
    await batches.call(department, SERVICE, "CompleteAttachment", complete)
