"""`xietong audit`: proves that no department's audit was changed, and writes it out. Believes nobody: every hash is reckoned anew."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from crm.common.v1 import audit_service_pb2 as contract

from chassis.rpc.audits import DESCRIPTOR
from chassis.rpc.documents import from_timestamp
from chassis.storage.chain import digest_of, hash_of, read_checkpoint
from cli.batches import Batches
from cli.plan import DEPARTMENTS, Plan
from cli.words import say

KEEPERS = {name: "customer" if name == "organization" else "organization" for name in DEPARTMENTS}


@dataclass
class Proof:
    """The chain of one department as far as it was looked at. `wrong` is the first fault, "" while there is none."""

    department: str
    wrong: str = ""
    number: int = 0
    entries: int = 0
    hash: str = ""
    hashes: dict[int, str] = field(default_factory=dict)

    def take(self, block: Any) -> None:
        """The next block: it must follow, and say of each entry what the entry is."""
        if block.number != self.number + 1:
            self._fail(f"block {self.number + 1} is missing; the next one is {block.number}")
        elif block.previous_hash != self.hash:
            self._fail(f"block {block.number} does not follow the one before: one of the two was changed")
        for line in block.lines:
            self._line(block.number, line)
        for identity in block.stray_ids:
            self._fail(f"entry {identity} says it is of block {block.number} and was slipped in")
        lines = [(line.entry_id, line.digest) for line in block.lines]
        if hash_of(block.number, block.previous_hash, from_timestamp(block.seal_time), lines) != block.hash:
            self._fail(f"block {block.number} is not what was sealed: its order, its time or its digests were changed")
        self.number, self.hash = block.number, block.hash
        self.hashes[block.number] = block.hash
        self.entries += len(block.lines)

    def _line(self, number: int, line: Any) -> None:
        if not line.content:
            self._fail(f"entry {line.entry_id} of block {number} was deleted")
        elif digest_of(line.content.encode()) != line.digest:
            self._fail(f"entry {line.entry_id} of block {number} was edited")

    def finish(self, stray: Sequence[str], checkpoints: Sequence[str], public_key: bytes) -> None:
        """What only the end tells: entries in no block, and whether the chain still is what it was at each checkpoint."""
        for identity in stray:
            self._fail(f"entry {identity} is in no block and waits for none: it was slipped in")
        for text in checkpoints:
            try:
                claims = read_checkpoint(text, public_key)
            except ValueError as error:
                self._fail(str(error))
                continue
            known = self.hashes.get(claims["number"])
            if known is None:
                self._fail(f"block {claims['number']} is gone that was there at {claims['time']}: the end was cut off")
            elif known != claims["hash"]:
                self._fail(f"block {claims['number']} is another one than at {claims['time']}: the chain was written anew")

    def _fail(self, why: str) -> None:
        self.wrong = self.wrong or why


async def verify(plan: Plan, departments: Sequence[str] = DEPARTMENTS) -> None:
    """One line a department; exits 1 when one was changed."""
    batches, bad = Batches(plan), 0
    try:
        for name in departments:
            proof, pending, checkpoints = await prove(batches, name)
            words = proof.wrong or f"whole: {proof.entries:,} entries in {proof.number:,} blocks, {checkpoints} checkpoints"
            say(f"  {name:13} {words}" + (f", {pending} wait to be sealed" if pending and not proof.wrong else ""))
            bad += bool(proof.wrong)
    finally:
        await batches.close()
    if bad:
        sys.exit(1)


async def prove(batches: Batches, department: str) -> tuple[Proof, int, int]:
    """The proof of a department, how many entries wait, and how many checkpoints were compared."""
    proof, pending, stray = Proof(department), 0, []
    async for answer in _pages(batches, department):
        for block in answer.blocks:
            proof.take(block)
        pending, stray = answer.pending_count, list(answer.stray_ids)
    keeper, checkpoints, after = KEEPERS[department], [], 0
    while True:
        request = contract.ListCheckpointsRequest(department=department, after_number=after)
        kept = await batches.call(keeper, DESCRIPTOR, "ListCheckpoints", request)
        checkpoints += kept.checkpoints
        if len(kept.checkpoints) < 1000:
            break
        after = read_checkpoint(kept.checkpoints[-1], kept.public_key)["number"]
    proof.finish(stray, checkpoints, kept.public_key)
    return proof, pending, len(checkpoints)


async def _pages(batches: Batches, department: str) -> AsyncIterator[Any]:
    after = 0
    while True:
        request = contract.ListAuditBlocksRequest(after_number=after)
        answer = await batches.call(department, DESCRIPTOR, "ListAuditBlocks", request)
        yield answer
        if not answer.blocks:
            return
        after = answer.blocks[-1].number


async def export(plan: Plan, folder: Path, departments: Sequence[str] = DEPARTMENTS) -> None:
    """Write each department's audit as a file of JSON lines, in the order of the chain."""
    folder.mkdir(parents=True, exist_ok=True)
    batches = Batches(plan)
    try:
        for name in departments:
            path, count = folder / f"{name}.jsonl", 0
            with path.open("wb") as sink:
                async for answer in _pages(batches, name):
                    for block in answer.blocks:
                        for line in block.lines:
                            entry = orjson.loads(line.content) if line.content else None
                            sink.write(orjson.dumps({"block": block.number, "digest": line.digest, "entry": entry}) + b"\n")
                            count += 1
            say(f"  {name:13} {count:,} entries → {path}")
    finally:
        await batches.close()
