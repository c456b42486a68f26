"""The commands on many records of a contract: each takes what the command on one takes, with ids in place of the id."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chassis.rpc.contract import BULK
from cli.standard.shape import Part, Shape, Words, request_id
from cli.standard.text import Block, File, Member

_COMMENTS = {
    "Update": "Changes the fields named in update_mask", "Assign": "Gives to another person", "Archive": "Takes out of use",
    "Restore": "Takes back into use", "Tag": "Adds tags and takes tags away",
}  # fmt: skip
_SECRET, _TAKEN = "secret: true", frozenset(("request_id", "version", "update_mask"))
_BOUNDS = '{min_items: 1, max_items: 500, unique: true, items: {string: {pattern: "^[0-9a-z][0-9a-z-]{0,63}$"}}}'


def methods(service: Block, words: Words) -> Iterator[tuple[str, Member]]:
    """(verb, the method on one record) of every verb that there is for many."""
    for verb in BULK:
        method = service.member(f"{verb}{words.name}")
        if method is not None and f"Bulk{verb}" not in words.without:
            yield verb, method


def secret(file: File, words: Words, verb: str) -> bool:
    """Whether the command on one record takes a secret: then there is none on many."""
    block = file.block(f"{verb}{words.name}Request")
    return block is not None and any(_SECRET in one.options for one in block.members)


def name(words: Words, verb: str) -> str:
    """E.g. "BulkAssignCustomers"."""
    return f"Bulk{verb}{words.plural}"


def method(words: Words, verb: str, single: Member) -> Member:
    """The method as it stands in a file: judged by the policy of that on one record."""
    policy = next(found[1] for line in single.lines if (found := re.search(r'\.access\) = "(.*)"', line)))
    named = name(words, verb)
    lines = [f"  rpc {named}({named}Request) returns ({named}Response) {{", f'    option (crm.common.v1.access) = "{policy}";', "  }"]
    return Member(named, f"{_COMMENTS[verb]}: up to 500 {words.many}, each judged alone as by {verb}{words.name}.", lines)


def request(words: Words, verb: str, single: Block) -> Shape:
    """What it takes: the ids, and what the command on one takes beside its id."""
    traits = f'(crm.common.v1.traits) = {{refers_to: "{words.name}"}}'
    ids = Part(2, "ids", "repeated string", f"Ids of the {words.many}, 1 to 500.", f"(buf.validate.field).repeated = {_BOUNDS}, {traits}")
    seen = "The versions that the caller saw, in the order of the ids, 0 where none was; not given: none."
    versions = Part(3, "versions", "repeated int64", seen, "(buf.validate.field).repeated = {max_items: 500, items: {int64: {gte: 0}}}")
    parts = [request_id(), ids, versions]
    for one in single.members:
        if one.number and (one.name == "update_mask" or one.name not in {*_TAKEN, words.key}):
            parts.append(Part(len(parts) + 1, one.name, one.shape, one.comment, one.options))
    named = name(words, verb)
    return Shape(f"{named}Request", f"Asks {named}.", tuple(parts))


def response(words: Words, verb: str) -> Shape:
    """What it answers."""
    outcomes = Part(1, "outcomes", "repeated crm.common.v1.BulkOutcome", "One outcome for each record, in the order sent.")
    named = name(words, verb)
    return Shape(f"{named}Response", f"Answers {named}.", (outcomes,))
