"""Holds the standard part of every contract against the standard: `xietong check contracts`; `--write` mends what can be mended.

What is special to a noun stays as it is: methods of its own, comments that go on behind the standard beginning, and a method of a standard
name that says in its option `special` why it has another shape.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from chassis.rpc.contract import Contract, nouns
from chassis.rpc.documents import snake
from cli.contracts import GEN, PROTOS
from cli.standard import attachments, bulk, english, fields
from cli.standard.shape import COMMENTS, FACTS, Part, Shape, Verb, Words, record_parts, verbs
from cli.standard.text import Block, File, Member, read

MEND = "run «xietong check contracts --write», then «make protos schema»"


@dataclass
class Files:
    """The files of one noun, and what was found in them."""

    noun: Contract
    record: File
    service: File
    events: File | None
    found: list[str] = field(default_factory=list)

    @staticmethod
    def of(noun: Contract, protos: Path = PROTOS) -> Files:
        """Read from the folder of its department."""
        stem = protos / "crm" / noun.department / "v1" / snake(noun.name)
        events = stem.with_name(f"{stem.name}_events.proto")
        return Files(
            noun,
            read(stem.with_suffix(".proto")),
            read(stem.with_name(f"{stem.name}_service.proto")),
            read(events) if events.exists() else None,
        )

    def save(self, protos: Path = PROTOS) -> None:
        """Write all of them."""
        folder, stem = protos / "crm" / self.noun.department / "v1", snake(self.noun.name)
        (folder / f"{stem}.proto").write_text(self.record.imported().text())
        (folder / f"{stem}_service.proto").write_text(self.service.imported().text())
        if self.events:
            (folder / f"{stem}_events.proto").write_text(self.events.imported().text())

    def say(self, where: str, what: str) -> None:
        """One thing that is not as the standard has it."""
        self.found.append(f"{self.noun.department}/{snake(self.noun.name)}: {where}: {what}")


def judge(files: Files) -> None:
    """Compare, mend what can be mended in `files`, and note everything that was not so."""
    record = files.record.block(files.noun.name)
    if record is None:
        files.say(files.noun.name, "the record is not in its file")
        return
    words = Words.of(files.noun, _first_order(files.record, files.noun.name))
    _record(files, record)
    service = files.service.block(f"{files.noun.name}Service")
    if service is None:
        files.say(f"{files.noun.name}Service", "the service is not in its file")
        return
    for verb in verbs(words):
        _verb(files, service, verb, words, record)
    _bulk(files, service, words)
    if files.events:
        _facts(files, files.events, words)


def _first_order(file: File, name: str) -> str:
    orders = file.block(f"{name}Order")
    return orders.members[1].comment if orders else ""


def _record(files: Files, record: Block) -> None:
    """The fields of every record; a log has neither version nor change, and few of them."""
    if record.member("version") is None or record.member("creator_id") is None:
        return
    for part in record_parts():
        member = record.member(part.name)
        if member is not None and member.number == part.number:
            _field(files, record, part, member)


def _verb(files: Files, service: Block, verb: Verb, words: Words, record: Block) -> None:
    method = service.member(verb.method)
    if method is None:
        files.say(verb.method, f"there is no {verb.method}; write it, or name «{verb.verb}» in `without`")
        service.members.append(Member(verb.method, verb.comment + COMMENTS.get(verb.verb, ""), verb.lines(words.resource)))
        method = service.members[-1]
    if _is_special(method):
        return
    lines = verb.lines(words.resource)
    if method.lines[:2] != lines[:2] or (len(method.lines) != len(lines) and not any("shown_as" in line for line in method.lines)):
        files.say(verb.method, "its signature or policy is not the standard's")
        method.lines[:2] = lines[:2]
    if not method.comment.replace("\n", " ").startswith(verb.comment):
        files.say(verb.method, f"its comment does not begin with «{verb.comment}»")
        method.comment = verb.comment + COMMENTS.get(verb.verb, "")
    for shape in (verb.group, verb.request, verb.response):
        if shape:
            _message(files, shape)
    if verb.request.open:
        block = files.service.block(verb.request.name)
        if block is not None:
            _own(files, block, record, verb.verb)


def _bulk(files: Files, service: Block, words: Words) -> None:
    """The commands on many records, as those on one have them."""
    for verb, single in bulk.methods(service, words):
        block = files.service.block(f"{verb}{words.name}Request")
        if block is None or bulk.secret(files.service, words, verb):
            continue
        wanted = bulk.method(words, verb, single)
        found = service.member(wanted.name)
        if found is None or (found.lines, found.comment) != (wanted.lines, wanted.comment):
            files.say(wanted.name, "is not the command on one record for many of them")
            service.members = [wanted if one is found else one for one in service.members] + ([wanted] if found is None else [])
        for shape in (bulk.request(words, verb, block), bulk.response(words, verb)):
            _message(files, shape)


def _is_special(method: Member) -> bool:
    return any("(crm.common.v1.special)" in line for line in method.lines)


def _methods(files: Files) -> list[Member]:
    service = files.service.block(f"{files.noun.name}Service")
    return service.members if service else []


def _message(files: Files, shape: Shape) -> None:
    block = files.service.block(shape.name)
    if block is None:
        files.say(shape.name, "is missing")
        block = Block("message", shape.name, shape.comment)
        files.service.blocks.append(block)
    if block.comment != shape.comment:
        files.say(shape.name, f"its comment is not «{shape.comment}»")
        block.comment = shape.comment
    for part in shape.parts:
        member = block.member(part.name)
        if member is None:
            files.say(f"{shape.name}.{part.name}", "is missing")
            number = part.number if all(one.number != part.number for one in block.members) else _next(block)
            block.add(Member(part.name, part.comment, [part.line(number)]))
        else:
            _field(files, block, part, member)
    known = {part.name for part in shape.parts}
    if not shape.open:
        for member in [one for one in block.members if one.number and one.name not in known]:
            files.say(
                f"{shape.name}.{member.name}", "the standard has no such field; a method of another shape says so in its option `special`"
            )


def _field(files: Files, block: Block, part: Part, member: Member) -> None:
    """A field of the standard; the number that it has got stays, for clients know it."""
    traits_aside = block.name == files.noun.name  # a record's standard fields may have traits of their own
    same = (
        member.shape.removeprefix("optional ") == part.shape.removeprefix("optional ")
        if traits_aside
        else member.lines == [part.line(member.number)]
    )
    if not same:
        files.say(f"{block.name}.{part.name}", f"is «{member.lines[0].strip()}», and «{part.line(member.number).strip()}» in the standard")
        member.lines = [part.line(member.number)]
    if member.comment != part.comment and not traits_aside:
        files.say(f"{block.name}.{part.name}", f"its comment is not «{part.comment}»")
        member.comment = part.comment


def _own(files: Files, block: Block, record: Block, verb: str) -> None:
    """Fields of the record in a create or update: as the record has them, all that the command may set and no others."""
    kept = {one.name: one for one in fields.own(record.members)}
    settable = {name: one for name, one in kept.items() if verb == "Create" or not fields.has(one, "IMMUTABLE")}
    make: Callable[[Member, int], str] = fields.in_create if verb == "Create" else fields.in_update
    standard = {"request_id", "version", "update_mask", files.noun.key, "owner_id"}
    for member in block.members:
        if member.name in settable:
            if wrong := fields.differs(member, settable[member.name]):
                files.say(f"{block.name}.{member.name}", wrong)
                member.lines = [make(settable[member.name], member.number)]
        elif member.name not in standard and "secret: true" not in member.options:
            files.say(f"{block.name}.{member.name}", "the record has no such field that this command may set (see its behaviors)")
    update = files.service.block(f"Update{files.noun.name}Request")
    for name, one in settable.items():
        begins_with_its_default = verb == "Create" and update is not None and update.member(name) is not None
        if block.member(name) is None and not begins_with_its_default:
            files.say(f"{block.name}.{name}", "is missing; give it, or say in the record's behaviors that the command does not take it")
            block.members.append(Member(name, one.comment, [make(one, _next(block))]))
    if verb == "Create" and record.member("owner_id") and record.member("team_id") and block.member("owner_id") is None:
        files.say(f"{block.name}.owner_id", "is missing: a record with an owner can be made for somebody")
        person = next(part for part in record_parts() if part.name == "creator_id").options
        line = f"  optional string owner_id = {_next(block)} [{person}];"
        block.members.append(Member("owner_id", "The person responsible; the caller when not given.", [line]))


def _facts(files: Files, events: File, words: Words) -> None:
    special = {one.name for one in _methods(files) if _is_special(one)}
    for verb in verbs(words):
        if verb.verb not in FACTS or verb.method in special:
            continue
        participle, comment = FACTS[verb.verb]
        name = f"{words.name}{participle}"
        block = events.block(name)
        if block is None:
            files.say(name, "is missing")
            block = Block("message", name, comment)
            subject = f'  option (crm.common.v1.subject) = "crm.{files.noun.department}.v1.{words.name.lower()}.{participle.lower()}";'
            block.members = [Member("", "", [subject])]
            events.blocks.append(block)
        record = Part(1, snake(words.name), words.name, f"The {words.one} as it was right after.")
        if block.comment != comment and not block.comment.startswith(comment[:-1]):
            files.say(name, f"its comment is not «{comment}»")
            block.comment = comment
        member = block.member(record.name)
        if member is None:
            block.members.append(Member(record.name, record.comment, [record.line()]))
        elif member.comment != record.comment:
            files.say(f"{name}.{record.name}", f"its comment is not «{record.comment}»")
            member.comment = record.comment


def _next(block: Block) -> int:
    return max((one.number for one in block.members), default=0) + 1


def misspelt() -> Iterator[str]:
    """What is wrong with the English of any contract's comments."""
    comments: dict[str, str] = json.loads((GEN / "comments.json").read_text())
    for name, comment in sorted(comments.items()):
        for fault in english.faults(comment):
            yield f"{name}: {fault}"


def check(*, write: bool = False, protos: Path = PROTOS) -> list[str]:
    """Everything that is not as the standard has it; with `write` the files are mended as far as they can be."""
    found: list[str] = []
    for noun in nouns():
        files = Files.of(noun, protos)
        judge(files)
        found += files.found
        if write and files.found:
            files.save(protos)
    return found + attachments.check(write=write, protos=protos) + list(misspelt())


def main(*, write: bool) -> None:
    """The command. Exits with the faults."""
    found = check(write=write)
    if write:
        print(f"contracts: {len(found)} places were not as the standard has them; what could be was written. Now: make protos schema")
    elif found:
        raise SystemExit("\n".join([*found, f"{len(found)} places differ from the standard; {MEND}"]))
