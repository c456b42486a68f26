"""`xietong new noun <department>/<plural>`: the contract of a new noun in the standard's shape, its folder, a first test, its line in the bootstrap.

Where the record's proto is there already, the rest is made from it; whatever file is there stays as it is.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from chassis.rpc.contract import departments, nouns
from cli.contracts import ROOT
from cli.engines import EngineError
from cli.standard import folder
from cli.standard.english import article
from cli.standard.new import New, camel
from cli.standard.shape import Part, record_parts
from cli.standard.text import Block, File, Member
from cli.words import say

_NAME = re.compile(r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$")


def asked(path: str, one: str, title: str, family: str, verbs: str, *, owned: bool, customer: bool) -> New:
    """The noun that a command line describes. Raises EngineError that says what is wrong with it."""
    department, _, resource = path.partition("/")
    if department not in departments() or not _NAME.match(resource):
        known = ", ".join(departments())
        raise EngineError(f"«{path}» names no noun of a department; write <department>/<plural>, e.g. sales/quotes; departments: {known}")
    single = one or _singular(resource)
    if not _NAME.match(single) or single == resource:
        raise EngineError(f"what is one of the {resource}? Say it with --one, in small letters, e.g. --one person")
    if not title:
        raise EngineError("say with --title what Chinese readers call it, e.g. --title 竞争对手")
    families = _families()
    if family not in families:
        raise EngineError(f"say with --family to which records it belongs: one of {', '.join(families)} (or add one to access/model.py)")
    pairs = dict(pair.partition(":")[::2] for pair in verbs.split(",") if pair)
    if wrong := [verb for verb, participle in pairs.items() if not _NAME.match(verb) or not _NAME.match(participle)]:
        raise EngineError(f"«{wrong[0]}» needs the participle of its fact: --verbs win:won,lose:lost")
    name = camel(single)
    taken = next((noun for noun in nouns() if name == noun.name or resource == noun.resource), None)
    if taken and (taken.department, taken.resource, taken.name) != (department, resource, name):
        raise EngineError(
            f"{taken.department} has {taken.resource} ({taken.name}) already, and names are one for all departments; choose another"
        )
    return New(department, resource, name, title, family, owned, customer, pairs)


def _singular(plural: str) -> str:
    return f"{plural[:-3]}y" if plural.endswith("ies") else plural.removesuffix("s")


def _families() -> list[str]:
    from services.organization.access.policy import families

    return sorted(families())


def make(new: New) -> None:
    """Write everything, then complete the contract from its record."""
    record = new.contract.with_suffix(".proto")
    written = [path for path, text in {record: _record(new), **_rest(new), **folder.files(new)}.items() if _write(path, text)]
    _run("cli.contracts")
    _run("cli.standard", "--write")
    _run("cli.contracts")
    if folder.enter(new):
        written.append(folder.bootstrap(new))
    for path in written:
        say(f"  {path.relative_to(ROOT)}")
    for command in GENERATED:
        _run(command)
    say(f"""It passes «make test» as it is. Next:
  1. its fields, in {record.relative_to(ROOT)}; then «./xietong check contracts --write» completes its requests
  2. its rules, in {(new.folder / "model.py").relative_to(ROOT)}, each with a test that fails without it
  3. «make schema» (graph, references, golden facts and grants), «make test»""")


# What follows from contracts and is committed: `make schema`.
GENERATED = ("cli.contracts", "cli.schema", "cli.reference", "tests.contract.test_event_shapes", "tests.contract.test_grants")


def _run(*command: str) -> None:
    answer = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise EngineError(f"{' '.join(command)} failed: {(answer.stderr or answer.stdout).strip()[-500:]}")


def _write(path: Path, text: str) -> bool:
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return True


def _head(new: New, *imports: str) -> str:
    """The beginning of a file: the department's own words, and what is imported beside what the text needs."""
    sibling = next(path for path in sorted(new.contract.parent.glob("*.proto")))
    words = "".join(line for line in sibling.read_text().splitlines(keepends=True)[:6] if line.startswith("//"))
    lines = "".join(f'import "{one}";\n' for one in imports)
    return f'syntax = "proto3";\n\n{words}package crm.{new.department}.v1;\n\n{lines}\n'


def _member(part: Part) -> Member:
    return Member(part.name, part.comment, [part.line()])


def _record(new: New) -> str:
    prefix = f"{new.stem.upper()}_ORDER"
    orders = Block("enum", f"{new.name}Order", f"Orders in which {new.resource.replace('_', ' ')} are listed.")
    for number, (value, comment) in enumerate(
        (("UNSPECIFIED", "Not given."), ("NAME_ASC", "By name."), ("CREATE_TIME_DESC", "Newest first."))
    ):
        orders.members.append(Member(f"{prefix}_{value}", comment, [f"  {prefix}_{value} = {number};"]))
    record = Block("message", new.name, f"{article(new.one).capitalize()} {new.one}.")
    record.members += [
        Member("", "", [f'  option (crm.common.v1.resource) = "{new.resource}";']),
        Member("", "", [f'  option (crm.common.v1.noun) = {{family: "{new.family}", title: "{new.title}"}};']),
    ]
    left_out = set() if new.owned else {"owner_id", "team_id", "department_id"}
    record.members += [_member(part) for part in record_parts() if part.name not in left_out]
    own = [
        Part(
            12,
            "name",
            "string",
            "Name.",
            "(buf.validate.field).string = {max_len: 200}, (crm.common.v1.traits) = {behaviors: [BEHAVIOR_REQUIRED], filterable: true}",
        )
    ]
    if new.customer:
        reference = next(part for part in record_parts() if part.name == "creator_id").options.replace(
            '{refers_to: "Person", filterable: true}', '{filterable: true, refers_to: "Customer"}'
        )
        own.append(Part(13, "customer_id", "optional string", "The customer.", reference))
    record.members += [_member(part) for part in own]
    return File(_head(new), [orders, record]).imported().text()


def _rest(new: New) -> dict[Path, str]:
    """The service and the events, with what is special to them; the standard fills in the rest."""
    of_record = f"crm/{new.department}/v1/{new.stem}.proto"
    service = Block("service", f"{new.name}Service", f"Questions about and commands on {new.resource.replace('_', ' ')}.")
    blocks, facts = [service], []
    for verb, participle in new.verbs.items():
        method, past = f"{camel(verb)}{new.name}", camel(participle)
        service.members.append(Member(method, f"{camel(verb)}s the {new.one}.", [
            f"  rpc {method}({method}Request) returns ({method}Response) {{", f'    option (crm.common.v1.access) = "{new.resource}.update";', "  }",
        ]))  # fmt: skip
        blocks += folder.command(new, verb)
        subject = f'  option (crm.common.v1.subject) = "crm.{new.department}.v1.{new.name.lower()}.{participle.replace("_", "")}";'
        body = Part(1, new.stem, new.name, f"The {new.one} as it was right after.")
        facts.append(
            Block("message", f"{new.name}{past}", f"Fact: {participle.replace('_', ' ')}.", [Member("", "", [subject]), _member(body)])
        )
    return {
        new.contract.with_name(f"{new.stem}_service.proto"): File(_head(new, of_record), blocks).imported().text(),
        new.contract.with_name(f"{new.stem}_events.proto"): File(_head(new, of_record), facts or [_created(new)]).imported().text(),
    }


def _created(new: New) -> Block:
    subject = f'  option (crm.common.v1.subject) = "crm.{new.department}.v1.{new.name.lower()}.created";'
    body = Part(1, new.stem, new.name, f"The {new.one} as it was right after.")
    return Block("message", f"{new.name}Created", "Fact: made.", [Member("", "", [subject]), _member(body)])
