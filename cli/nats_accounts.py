"""Who may do what at NATS: the server's configuration, made from what each department reacts to.

A client's certificate is its user (`verify_and_map`): there are no passwords. Streams and consumers are made by the cli alone.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nats.js import JetStreamContext

from chassis.access.identity import Identity
from chassis.messaging.broker import MANAGED_API as API
from chassis.messaging.broker import ensure_stream, live, stream_name
from chassis.messaging.models import READERS, reader_name
from chassis.messaging.reactions import Reaction, consumer_config, durable_name
from chassis.runtime.department import Department
from cli.authority import identity_uri
from cli.plan import DEPARTMENTS, Plan
from gateway.departments.presence import SUBJECT as PRESENCE

ACCOUNT = "CRM"


@dataclass(frozen=True)
class Interest:
    """One durable: the department `owner` reacts to facts. Of those that keep a model it may `fold` the facts anew."""

    owner: str
    reaction: Reaction
    folds: bool = False

    @property
    def durable(self) -> str:
        """The consumer's name."""
        return durable_name(self.owner, self.reaction)

    @property
    def stream(self) -> str:
        """The stream that it reads."""
        return stream_name(self.reaction.department)


def interests(plan: Plan) -> list[Interest]:
    """What every department reacts to, asked of the departments themselves: built, not started."""
    found = []
    for department in departments_of(plan):
        folded = {durable_name(department.name, reaction) for model in department.models for reaction in model.reactions}
        found += [Interest(department.name, one, durable_name(department.name, one) in folded) for one in department.reactions]
    return found


def departments_of(plan: Plan) -> list[Department]:
    """The departments of a plan, built and not started."""
    found = []
    for name in DEPARTMENTS:
        settings = importlib.import_module(f"services.{name}.settings").Settings.from_env(plan.environment(name))
        found.append(importlib.import_module(f"services.{name}.bootstrap").build(settings))
    return found


@dataclass(frozen=True)
class Rights:
    """What a service may ask of the account that holds the streams: requests (with answers, or with many) and facts to hear.
    `own` are subjects that its replicas say and hear among themselves, in its own account."""

    requests: tuple[str, ...] = ()
    feeds: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    own: tuple[str, ...] = ()


def rights_of(name: str, wanted: Iterable[Interest]) -> Rights:
    """A department publishes its own facts, deletes those about people who were erased, reads by its own durables, and hears the organization.
    Of a reaction that keeps a model it may read the facts once more, by consumers of given names, and pause its own durable meanwhile."""
    own = [interest for interest in wanted if interest.owner == name]
    requests = [f"crm.{name}.v1.>", f"$JS.API.STREAM.INFO.CRM_{name.upper()}"]
    if (
        any(interest.reaction.name == "erasure" for interest in own) or name == "customer"
    ):  # what it published it may make the stream forget
        requests += [f"$JS.API.STREAM.MSG.{verb}.CRM_{name.upper()}" for verb in ("GET", "DELETE")]
    for interest in own:
        requests += [f"$JS.API.CONSUMER.INFO.{interest.stream}.{interest.durable}", f"$JS.ACK.{interest.stream}.{interest.durable}.>"]
    feeds = [f"$JS.API.CONSUMER.MSG.NEXT.{interest.stream}.{interest.durable}" for interest in own]
    for interest in (one for one in own if one.folds):
        requests.append(f"$JS.API.CONSUMER.PAUSE.{interest.stream}.{interest.durable}")
        for reader in (reader_name(interest.durable, turn) for turn in range(READERS)):
            requests += [f"$JS.API.CONSUMER.{verb}.{interest.stream}.{reader}" for verb in ("DURABLE.CREATE", "INFO", "DELETE")]
            feeds.append(f"$JS.API.CONSUMER.MSG.NEXT.{interest.stream}.{reader}")
    return Rights(tuple(requests), tuple(feeds), ("crm.organization.v1.>",))


async def prepare(context: JetStreamContext, departments: Sequence[str], wanted: Sequence[Interest], replicas: int = 1) -> None:
    """Make or correct every stream and consumer, as the cli. Safe to repeat, with facts in them."""
    for name in departments:
        await ensure_stream(context, name, managed=True, replicas=replicas)
    for interest in wanted:
        await context.add_consumer(interest.stream, consumer_config(interest.durable, interest.reaction))


def configuration(port: int, store: Path, tls: Identity, departments: Sequence[str], wanted: Sequence[Interest]) -> str:
    """The text of nats.conf for the one server of this machine."""
    return f"""host: 127.0.0.1
port: {port}
server_name: crm
max_payload: 8MB
jetstream {{ store_dir: "{store}", sync_interval: always, max_file_store: 50GB }}
tls {{ cert_file: "{tls.own}", key_file: "{tls.own}", ca_file: "{tls.authority}", verify_and_map: true, timeout: 5 }}
{accounts(departments, wanted)}"""


def accounts(departments: Sequence[str], wanted: Sequence[Interest]) -> str:
    """The part of nats.conf that says who may do what: the same on a laptop and on a cluster.

    Each service has an account of its own: with one account for all, a reply subject of another's (`crm.sales.v1.…`) would make the
    server itself write there what the replier may not. Streams live in the account CRM, which exports each right to one account.
    """
    rights = {name: rights_of(name, wanted) for name in departments} | {"gateway": Rights(facts=("crm.*.v1.>",), own=(f"{PRESENCE}.*.*",))}
    exports = [line for name, right in rights.items() for line in _exports(name, right)] + _fact_exports(rights)
    each = "\n".join(_account(name, right) for name, right in rights.items())
    return f"""accounts {{
  {ACCOUNT} {{
    jetstream: enabled
    users: [ {_user("cli", ["$JS.API.>"], ["_INBOX.>"])} ]
    exports: [
      {_lines(exports)}
    ]
  }}
{each}
}}
"""


def _exports(name: str, right: Rights) -> list[str]:
    only = f"accounts: [{name.upper()}]"
    lines = [f'{{ service: "{subject}", {only} }}' for subject in right.requests]
    return lines + [f'{{ service: "{subject}", response_type: stream, {only} }}' for subject in right.feeds]


def _fact_exports(rights: Mapping[str, Rights]) -> list[str]:
    hearers: dict[str, list[str]] = {}
    for name, right in rights.items():
        for subject in _imported(right):
            hearers.setdefault(live(subject), []).append(name.upper())
    return [f'{{ stream: "{subject}", accounts: [{", ".join(names)}] }}' for subject, names in hearers.items()]


def _account(name: str, right: Rights) -> str:
    imports = [
        f'{{ service: {{ account: {ACCOUNT}, subject: "{subject}" }}, to: "{_local(subject)}" }}'
        for subject in right.requests + right.feeds
    ]
    imports += [f'{{ stream: {{ account: {ACCOUNT}, subject: "{live(subject)}" }}, to: "{subject}" }}' for subject in _imported(right)]
    listens = [*right.facts, *right.own] + (["_INBOX.>"] if right.requests else [])
    return f"""  {name.upper()} {{
    users: [ {_user(name, [_local(subject) for subject in (*right.requests, *right.feeds)] + [*right.own], listens)} ]
    imports: [
      {_lines(imports)}
    ]
  }}"""


def _imported(right: Rights) -> list[str]:
    """What it publishes itself it hears in its own account; imported too, it would hear it twice."""
    return [subject for subject in right.facts if subject not in right.requests]


def _local(subject: str) -> str:
    return subject.replace("$JS.API.", f"{API}.")


def _lines(entries: list[str]) -> str:
    return "\n      ".join(entries)


def _user(name: str, publish: Sequence[str], subscribe: Sequence[str]) -> str:
    return f'{{ user: "{identity_uri(name)}", permissions: {{ publish: {_rule(publish)}, subscribe: {_rule(subscribe)} }} }}'


def _rule(subjects: Sequence[str]) -> str:
    quoted = ", ".join(f'"{subject}"' for subject in subjects)
    return f"{{ allow: [{quoted}] }}" if subjects else '{ deny: [">"] }'
