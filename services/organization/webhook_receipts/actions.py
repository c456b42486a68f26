"""What becomes of what other systems post: verified before it is read, once only, done with the source's rights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chassis.access.caller import Caller
from chassis.access.tokens import Signer
from chassis.kernel.addresses import holder_of
from chassis.kernel.errors import CrmError
from chassis.kernel.signatures import flaw, new_secret
from chassis.rpc.call import Call
from chassis.rpc.channels import Channel
from services.organization.sessions.actions import as_department
from services.organization.webhook_endpoints import credentials
from services.organization.webhook_receipts import model
from services.organization.webhook_receipts.effects import EFFECTS, Acting
from services.organization.webhook_receipts.store import WebhookReceipts
from services.organization.webhook_sources.store import WebhookSources

Document = dict[str, Any]
TOKEN_SECONDS = 60
# Judged by instead of the secrets of a source that there is not, which so takes as long to refuse. Nobody can sign with it.
_DECOY = new_secret()


@dataclass(frozen=True)
class Intake:
    """What taking something in needs."""

    sources: WebhookSources
    receipts: WebhookReceipts
    signer: Signer
    channels: Mapping[str, Channel]


async def receive(
    intake: Intake, call: Call, *, webhook_source_id: str = "", webhook_id: str, timestamp: str, signature: str, body: bytes = b""
) -> Document:
    """Take one message in; its receipt. Raises WEBHOOK_UNVERIFIED, WEBHOOK_THROTTLED, WEBHOOK_ID_REUSED, or why it has no effect."""
    own = as_department(call)
    source = await _verified(intake, own, webhook_source_id, (webhook_id, timestamp, signature), body)
    await intake.receipts.spend(own, f"source {source['_id']}", model.MOST_A_MINUTE)
    identity = model.identity_of(source["_id"], webhook_id)
    row = {"webhook_source_id": source["_id"], "webhook_id": webhook_id, "digest": model.digest_of(body)}
    earlier = await intake.receipts.known(own, identity)
    if earlier and earlier["state"] == model.ACCEPTED:
        if earlier["digest"] != row["digest"]:
            raise model.reused()
        intake.receipts.settle(own, identity, {})
        return earlier
    try:
        became = await _effect(intake, own, source, identity, row, body)
    except CrmError as refusal:
        await intake.receipts.refuse(own, identity, row | {"reason": model.refusal(refusal)})
        raise
    intake.receipts.settle(own, identity, became)
    return {"_id": identity, "create_time": call.now, **became}


async def _verified(intake: Intake, call: Call, source_id: str, headers: tuple[str, str, str], body: bytes) -> Document:
    """The source that signed this. One answer and the same steps for all that is not verified, whatever the reason."""
    source = await intake.sources.named(call, source_id)
    wrong = flaw(await credentials.secrets_of(call, source_id) or [_DECOY], headers, body, call.now)
    if source and not wrong and (source.get("archive_time") or not source.get("enabled")):
        wrong = "the source is disabled or archived"
    if source and not wrong:
        return source
    identity = model.unverified_identity(source_id, wrong, call.now)
    await intake.receipts.refuse(call, identity, {"webhook_source_id": source_id, "reason": wrong}, known=source is not None)
    await intake.receipts.spend(call, f"address {holder_of(call.address)}", model.MOST_UNVERIFIED_A_MINUTE)
    raise model.unverified()


async def _effect(intake: Intake, call: Call, source: Document, identity: str, row: Document, body: bytes) -> Document:
    """What became of a message; `row` is told its type as soon as that is known."""
    told, data = model.parsed(body)
    row["event_type"] = told
    if told not in source["event_types"]:
        return row | {"state": model.IGNORED, "reason": f"the source does not take «{told}»"}
    roles = frozenset((*source.get("roles", []), *source.get("role_definition_ids", [])))
    caller = Caller(source["_id"], roles, source.get("home_department_id", ""), session_id=source["_id"])
    token = intake.signer.sign(caller, ends=call.now.timestamp() + TOKEN_SECONDS)[0]
    kind, record_id = await EFFECTS[told](Acting(intake.channels, call, token, identity, source["display_name"]), data)
    return row | {"state": model.ACCEPTED, "record_type": kind, "record_id": record_id}
