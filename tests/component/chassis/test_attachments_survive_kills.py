"""A department that is killed while files come in: each file is whole in the end, and no part is there without its file."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path
from typing import Any

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from chassis.storage.files import PARTS
from tests.component.chassis.test_events_survive_kills import Killable
from tests.support.files import DRAWING, PART, rpc, sha256
from tests.support.installation import Installation

FILES, KILLS = 3, 3
AWAY = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "BUSY", "UNAUTHENTICATED", "NOT_ALLOWED")


async def patient(crm: Installation, method: str, **fields: Any) -> Any:
    """An answer, however often the department has to be asked; a command each time under the same request id."""
    if method.endswith("Attachment"):
        fields = {"request_id": new_id(), **fields}
    for _ in range(300):
        try:
            return await rpc(crm, "customer", method, **fields)
        except CrmError as refusal:
            assert refusal.code in AWAY, refusal.message
            await asyncio.sleep(0.1)
    raise AssertionError(f"{method} was never answered")


async def attached(crm: Installation, customer: str, number: int) -> tuple[str, bytes]:
    """A file of some parts, attached however often its department dies."""
    content = DRAWING + os.urandom(4 * PART + number)
    given = {"resource": "customers", "record_id": customer, "name": f"{number}.dwg", "size": len(content), "sha256": sha256(content)}
    identity = str((await patient(crm, "BeginAttachment", **given)).attachment.id)
    for part, start in enumerate(range(0, len(content), PART)):
        await patient(crm, "AppendPart", attachment_id=identity, number=part, data=content[start : start + PART])
    made = await patient(crm, "CompleteAttachment", attachment_id=identity)
    assert (made.attachment.version, made.attachment.size) == (1, len(content))
    return identity, content


async def test_a_kill_leaves_no_part_without_its_file_and_no_file_without_its_parts(own_crm: Installation, tmp_path: Path) -> None:
    crm, dice = own_crm, random.Random(60)
    customer = (await crm.ask("CreateCustomer", role="COORDINATOR", name="附件", kind=1)).customer.id
    await crm.suite.stop("customer")
    department = Killable("customer", crm, tmp_path)
    await department.start()
    await department.answers()
    coming = asyncio.gather(*[attached(crm, customer, number) for number in range(FILES)])
    for _ in range(KILLS):
        await asyncio.sleep(dice.uniform(0.05, 0.3))
        await department.kill()
        await department.start()
        await department.answers()
    found = await coming
    database = department.database
    files = {row["_id"]: row async for row in database["attachments"].find({}, {"state": 1, "size": 1, "received": 1})}
    parts = [str(row["_id"]).rpartition(":")[0] async for row in database[PARTS].find({}, {"_id": 1})]
    assert set(parts) <= set(files)
    for identity, content in found:
        assert files[identity]["state"] == "READY" and files[identity]["received"] == len(content)
        assert parts.count(identity) == 5
        address = (await patient(crm, "CreateDownload", attachment_id=identity)).address.path.rpartition("/")[2]
        read = [(await patient(crm, "ReadPart", token=address, number=number)).data for number in range(5)]
        assert b"".join(read) == content
    facts = await database["outbox"].count_documents({"headers.ce-type": "crm.customer.v1.AttachmentAdded"})
    assert facts == FILES
    await department.child.stop()
    await department.database.client.close()
