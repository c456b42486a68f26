"""The audit as a chain: sealed behind the writes, one block on the other, and every way of changing it is found and named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from joserfc.jwk import OKPKey

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from chassis.storage.chain import BLOCKS, Chain, content_of, digest_of, hash_of
from chassis.storage.changes import AUDIT, Duplicate
from cli.audit import prove
from cli.batches import Batches
from tests.support.installation import Installation

Database = Any


@pytest_asyncio.fixture(loop_scope="session")
async def audited(crm: Installation) -> AsyncIterator[tuple[Installation, Batches]]:
    """The chain of the sales department, of three blocks at least and told to the second place; put back as it was afterwards."""
    sales = crm.suite["sales"]
    await crm.settled()
    for _ in range(2):
        rows = [{"source_key": new_id(), "name": "产品", "code": new_id()} for _ in range(3)]
        await crm.ask("BatchUpsertProducts", products=rows)  # one commit, so one block
        with suppress(Duplicate):  # the department itself may be faster
            await sales.chain.seal()
        await crm.until(chain_sealed(crm))
    await sales.chain.checkpoint()
    kept = {name: await sales.database[name].find({}).to_list() for name in (AUDIT, BLOCKS)}
    batches = Batches(crm.plan)
    yield crm, batches
    await batches.close()
    for name, rows in kept.items():
        await sales.database[name].delete_many({})
        await sales.database[name].insert_many(rows)
    sales.chain._told = kept[BLOCKS][-1]["_id"]


def chain_sealed(crm: Installation) -> Callable[[], Awaitable[bool]]:
    async def sealed() -> bool:
        return not await crm.suite["sales"].database[AUDIT].find_one({"pending": True})

    return sealed


async def wrong(audited: tuple[Installation, Batches]) -> str:
    return (await prove(audited[1], "sales"))[0].wrong


async def test_an_untouched_chain_is_whole_and_told(audited: tuple[Installation, Batches]) -> None:
    proof, pending, checkpoints = await prove(audited[1], "sales")
    assert (proof.wrong, pending) == ("", 0)
    assert proof.entries == await audited[0].suite["sales"].database[AUDIT].count_documents({}) >= 6
    assert proof.number >= 2
    assert checkpoints >= 1


async def _edit(database: Database, block: dict[str, Any]) -> str:
    await database[AUDIT].update_one({"_id": block["ids"][0]}, {"$set": {"actor_id": "somebody else"}})
    return f"entry {block['ids'][0]} of block {block['_id']} was edited"


async def _restamp(database: Database, block: dict[str, Any]) -> str:
    entry = await database[AUDIT].find_one({"_id": block["ids"][1]})
    await database[AUDIT].update_one({"_id": block["ids"][1]}, {"$set": {"time": entry["time"] - timedelta(days=1)}})
    return f"entry {block['ids'][1]} of block {block['_id']} was edited"


async def _delete(database: Database, block: dict[str, Any]) -> str:
    await database[AUDIT].delete_one({"_id": block["ids"][-1]})
    return f"entry {block['ids'][-1]} of block {block['_id']} was deleted"


async def _reorder(database: Database, block: dict[str, Any]) -> str:
    await database[BLOCKS].update_one({"_id": block["_id"]}, {"$set": {"ids": block["ids"][::-1], "digests": block["digests"][::-1]}})
    return f"block {block['_id']} is not what was sealed: its order, its time or its digests were changed"


async def _restamp_block(database: Database, block: dict[str, Any]) -> str:
    await database[BLOCKS].update_one({"_id": block["_id"]}, {"$set": {"seal_time": block["seal_time"] - timedelta(hours=1)}})
    return f"block {block['_id']} is not what was sealed: its order, its time or its digests were changed"


async def _remove_block(database: Database, block: dict[str, Any]) -> str:
    await database[AUDIT].delete_many({"block": block["_id"]})
    await database[BLOCKS].delete_one({"_id": block["_id"]})
    return f"block {block['_id']} is missing; the next one is {block['_id'] + 1}"


async def _slip_in(database: Database, block: dict[str, Any]) -> str:
    entry = await database[AUDIT].find_one({"_id": block["ids"][0]})
    await database[AUDIT].insert_one({**entry, "_id": "forged"})
    return f"entry forged says it is of block {block['_id']} and was slipped in"


async def _slip_in_beside(database: Database, block: dict[str, Any]) -> str:
    await database[AUDIT].insert_one({"_id": "forged", "actor_id": "x"})
    return "entry forged is in no block and waits for none: it was slipped in"


@pytest.mark.parametrize("tamper", [_edit, _restamp, _delete, _reorder, _restamp_block, _remove_block, _slip_in, _slip_in_beside])
async def test_every_change_is_found_and_the_first_bad_entry_named(audited: tuple[Installation, Batches], tamper: Any) -> None:
    database = audited[0].suite["sales"].database
    block = await database[BLOCKS].find_one({"ids.1": {"$exists": True}}, sort=[("_id", 1)])
    assert block
    told = await tamper(database, block)
    assert await wrong(audited) == told


async def test_an_end_that_was_cut_off_is_found_by_the_second_place(audited: tuple[Installation, Batches]) -> None:
    database = audited[0].suite["sales"].database
    last = await database[BLOCKS].find_one({}, sort=[("_id", -1)])
    assert last
    await database[AUDIT].delete_many({"block": last["_id"]})
    await database[BLOCKS].delete_one({"_id": last["_id"]})
    assert (await wrong(audited)).startswith(f"block {last['_id']} is gone that was there at ")


async def test_a_chain_written_anew_is_found_by_the_second_place(audited: tuple[Installation, Batches]) -> None:
    """Who has the database edits an entry and reckons all hashes anew: the chain is whole, and not the one that was told."""
    database = audited[0].suite["sales"].database
    first = await database[BLOCKS].find_one({"_id": 1})
    assert first
    await database[AUDIT].update_one({"_id": first["ids"][0]}, {"$set": {"actor_id": "somebody else"}})
    previous = ""
    async for block in database[BLOCKS].find({}).sort("_id", 1):
        entries = {entry["_id"]: entry async for entry in database[AUDIT].find({"_id": {"$in": block["ids"]}})}
        digests = [digest_of(content_of(entries[identity])) for identity in block["ids"]]
        new = hash_of(block["_id"], previous, block["seal_time"], list(zip(block["ids"], digests, strict=True)))
        await database[BLOCKS].update_one({"_id": block["_id"]}, {"$set": {"digests": digests, "previous_hash": previous, "hash": new}})
        previous = new
    assert "the chain was written anew" in await wrong(audited)
    audited[0].suite["sales"].chain._told = 0
    with pytest.raises(CrmError, match="its audit was rewritten"):  # nor can the department tell it so again
        await audited[0].suite["sales"].chain.checkpoint()


async def test_a_checkpoint_in_the_name_of_another_department_is_refused(audited: tuple[Installation, Batches]) -> None:
    support = audited[0].suite["support"]
    await audited[0].ask("CreateArticle", role="SUPPORT_AGENT", title="甲", body="乙", category="丙", language=1)
    await support.chain.seal()
    forged = Chain("sales", support.database, support.vault, support.deliver)
    with pytest.raises(CrmError, match="the checkpoint is one of sales, not of support"):
        await forged.checkpoint()


async def test_a_checkpoint_under_another_key_is_refused(audited: tuple[Installation, Batches]) -> None:
    sales = audited[0].suite["sales"]
    other = Chain("sales", sales.database, sales.vault, sales.deliver)
    other._key = OKPKey.generate_key("Ed25519", private=True)
    with pytest.raises(CrmError, match="signed by another key"):
        await other.checkpoint()


async def test_two_replicas_that_seal_at_once_make_one_chain(audited: tuple[Installation, Batches]) -> None:
    crm = audited[0]
    replicas = [Chain("sales", crm.suite["sales"].database, crm.suite["sales"].vault) for _ in range(3)]
    for index in range(10):
        await crm.ask("CreateProduct", name=f"并行 {index}", code=new_id())
        for result in await asyncio.gather(*(replica.seal() for replica in replicas), return_exceptions=True):
            assert isinstance(result, int | Duplicate | CrmError), result
    await crm.until(chain_sealed(crm))
    assert await wrong(audited) == ""
