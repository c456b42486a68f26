"""A whole installation for tests: real mongod and nats-server on free ports, the departments and the gateway in this process."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from chassis.access.link import OrganizationLink
from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from chassis.messaging.broker import stream_name
from chassis.messaging.reactions import durable_name
from chassis.rpc.channels import Channel
from chassis.rpc.service import request_class
from chassis.storage.client import connect
from cli.compact import Suite
from cli.engines import Child, free_port, start_mongo, start_nats
from cli.plan import DEPARTMENTS, Plan, new_masters, new_secrets
from gateway.graph.noun import NOUNS
from services.organization.sessions.actions import open_session

RENEW_SECONDS = 150
# Tests share two cores with each other; how long an answer may take is judged where that is the matter.
PATIENCE = 100.0
FIRST_LOOK_SECONDS, LAST_LOOK_SECONDS = 0.02, 0.1
PASSWORD = "four words of our own"
ROLES = (
    "SALES_REP", "SALES_LEAD", "MARKETER", "SUPPORT_AGENT", "COORDINATOR", "ADMINISTRATOR", "MARKETING_LEAD", "SUPPORT_LEAD",
    "FIELD_ENGINEER", "MANAGER",
)  # fmt: skip
STARTED = ROLES[:6]


class Engines:
    """MongoDB and NATS of one test run."""

    mongo: Child
    nats: Child
    mongo_uri: str
    nats_url: str
    nats_monitor: str = ""

    async def start(self, folder: Path) -> None:
        """Start both beside each other."""
        self.folder, monitor = folder, free_port()
        self.nats_monitor = f"http://127.0.0.1:{monitor}"
        (self.mongo, self.mongo_uri), (self.nats, self.nats_url) = await asyncio.gather(
            start_mongo(folder / "mongo", free_port(), folder / "mongod.log"),
            start_nats(folder / "nats", free_port(), folder / "nats.log", monitor=monitor),
        )

    async def stop(self) -> None:
        """Stop both."""
        await asyncio.gather(self.mongo.stop(), self.nats.stop())

    def plan(self, nats_url: str = "") -> Plan:
        """A plan with free ports and databases of its own."""
        return Plan(
            mongo_uri=self.mongo_uri, nats_url=nats_url or self.nats_url,
            grpc={name: free_port() for name in DEPARTMENTS}, ops={name: free_port() for name in (*DEPARTMENTS, "gateway")},
            gateway_port=free_port(), faq_port=free_port(), smtp_port=free_port(), secrets=new_secrets(), masters=new_masters(),
            database_prefix=f"t{secrets.token_hex(4)}", nats_monitor="" if nats_url else self.nats_monitor, webhook_networks="127.0.0.0/8",
            unsubscribe_port=free_port(),
        )  # fmt: skip


class Installation:
    """Departments, gateway and people of every role; `graph` asks the gateway, `ask` a department directly."""

    def __init__(self, engines: Engines | None = None, nats_url: str = "", plan: Plan | None = None) -> None:
        self.plan, self._engines = plan or (engines or Engines()).plan(nats_url), engines
        self.suite = Suite(self.plan)
        self.people: dict[str, str] = {}
        self.tokens: dict[str, str] = {}
        self.units: dict[str, str] = {}
        self._refresh: dict[str, Any] = {}

    async def start(self) -> None:
        """Everything up, one department with a team, one person of each role."""
        await self.suite.start()
        self.connect()
        await self.until(lambda: all(self.suite[name].authority.directory.revision for name in DEPARTMENTS))
        await self.populate()
        await self.until(lambda: all(len(self.suite[name].authority.directory.members) >= len(STARTED) for name in DEPARTMENTS))

    def connect(self) -> None:
        """Channels to the departments, and the way to the gateway."""
        self.channels = {name: Channel(name, self.plan.address(name), self.plan.identity("cli")) for name in DEPARTMENTS}
        self.http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.plan.gateway_port}", timeout=PATIENCE)
        self.link = OrganizationLink(self.channels["organization"], "cli", self.plan.secrets["cli"])

    async def renew(self) -> None:
        """Refresh tokens that end soon: a run lasts longer than a token."""
        for key, tokens in list(self._refresh.items()):
            if tokens.access_expire_time.seconds - time.time() < RENEW_SECONDS and self.tokens[key] == tokens.access_token:
                try:
                    answer = await self.ask("RefreshSession", role="", refresh_token=tokens.refresh_token)
                except CrmError:  # a test ended this session
                    del self._refresh[key]
                    continue
                self._refresh[key], self.tokens[key] = answer.tokens, answer.tokens.access_token

    async def stop(self) -> None:
        """Everything down, and the databases of a plan of its own away: open files of ended ones cost the others time."""
        await self.http.aclose()
        for channel in self.channels.values():
            await channel.close()
        await self.suite.stop()
        if self._engines:
            client: Any = connect(self.plan.mongo_uri, "admin").client
            for name in DEPARTMENTS:
                await client.drop_database(f"{self.plan.database_prefix}_{name}")
            await client.close()

    @staticmethod
    async def until(condition: Any, seconds: float = 20) -> None:
        """Wait until a condition (plain or awaitable) holds; fails the test when it does not in time. What must be asked for is asked for
        less and less often: the answers to one who waits cost the others time."""
        end, pause = asyncio.get_running_loop().time() + seconds, FIRST_LOOK_SECONDS
        while True:
            result = condition()
            if asked := asyncio.iscoroutine(result):
                result = await result
            if result:
                return
            assert asyncio.get_running_loop().time() < end, f"did not become true within {seconds} s"
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LAST_LOOK_SECONDS) if asked else pause

    async def _consumers(self, stream: str, durables: set[str]) -> dict[str, Any]:
        """Consumers of a stream by name: in one question, or where a department may not ask for all, each of its department."""
        if self.plan.tls is None:
            context = next(self.suite[name] for name in DEPARTMENTS if name in self.suite.running).jetstream
            return {one.name: one for one in await context.consumers_info(stream)}
        return {one: await self.suite[one.partition("-")[0]].jetstream.consumer_info(stream, one) for one in durables}

    async def published(self) -> None:
        """Wait until every committed fact has been published: who listens from now on hears what happens from now on."""

        async def nothing_left() -> bool:
            running = [self.suite[name] for name in DEPARTMENTS if name in self.suite.running]
            return not any([await one.database["outbox"].find_one({"pending": True}, {"_id": 1}) for one in running])

        await self.until(nothing_left)
        await asyncio.sleep(0.02)

    async def settled(self) -> None:
        """Wait until every committed fact has been published and every consumer has taken it."""

        async def quiet() -> bool:
            running = [self.suite[name] for name in DEPARTMENTS if name in self.suite.running]
            for department in running:
                if await department.database["outbox"].find_one({"pending": True}, {"_id": 1}):
                    return False
            wanted: dict[str, set[str]] = {}
            for department in running:
                for reaction in department.reactions:
                    wanted.setdefault(stream_name(reaction.department), set()).add(durable_name(department.name, reaction))
            for stream, durables in wanted.items():
                found = await self._consumers(stream, durables)
                if any(found[durable].num_pending or found[durable].num_ack_pending for durable in durables):
                    return False
            return True

        for _ in range(2):  # an effect may announce facts of its own
            await self.until(quiet)
            await asyncio.sleep(0.05)
            await self.until(quiet)

    async def ask(self, method: str, *, role: str = "cli", trial: bool = False, **fields: Any) -> Any:
        """Call an RPC by its name as a role ("cli" is the tool's own service token), or try it only. A request id is made where one is needed."""
        noun, found = next(
            (noun, noun.service.methods_by_name[method]) for noun in NOUNS.values() if method in noun.service.methods_by_name
        )
        if "request_id" in found.input_type.fields_by_name:
            fields.setdefault("request_id", new_id())
        token = await self.link.token() if role == "cli" else self.tokens.get(role, role)
        return await self.channels[noun.department].call(
            noun.service, method, request_class(found)(**fields), token=token, seconds=PATIENCE, trial=trial
        )

    async def graph(
        self, query: str, role: str = "COORDINATOR", *, headers: dict[str, str] | None = None, **variables: Any
    ) -> dict[str, Any]:
        """The body of the gateway's answer."""
        response = await self.http.post(
            "/graphql", json={"query": query, "variables": variables}, headers={**self.bearer(role), **(headers or {})}
        )
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    async def data(self, query: str, role: str = "COORDINATOR", **variables: Any) -> dict[str, Any]:
        """The data of an answer that must have no errors."""
        body = await self.graph(query, role, **variables)
        assert "errors" not in body, body["errors"]
        found: dict[str, Any] = body["data"]
        return found

    def bearer(self, role: str) -> dict[str, str]:
        """The header of a role; none for "" ."""
        return {"Authorization": f"Bearer {self.tokens.get(role, role)}"} if role else {}

    async def populate(self) -> None:
        """The company, two units with a team each, one person of each role."""
        (company,) = await self._units([("总部", 3, "")])
        sales, other = await self._units([("销售部", 4, company), ("其他部", 4, company)])
        teams = await self._units([("销售部一组", 5, sales), ("其他部一组", 5, other)])
        self.units |= {"sales": sales, "other": other, "sales-team": teams[0], "other-team": teams[1]}
        rows = [{"source_key": f"populate:{role}", **self._described(role, role)} for role in STARTED]
        answer = await self.ask("BatchUpsertPeople", people=rows)
        for role, outcome in zip(STARTED, answer.outcomes, strict=True):
            await self.sign_in(role, outcome.id)

    async def _units(self, wanted: list[tuple[str, int, str]]) -> list[str]:
        """Units of one level (name, kind, parent), in one commit: everybody hears of them once."""
        rows = [
            {"source_key": f"populate:{name}", "name": name, "kind": kind} | ({"parent_id": parent} if parent else {})
            for name, kind, parent in wanted
        ]
        answer = await self.ask("BatchUpsertDepartments", departments=rows)
        assert not [one.error_message for one in answer.outcomes if one.error_message]
        return [str(one.id) for one in answer.outcomes]

    def _described(self, key: str, role: str, unit: str = "sales", skills: tuple[str, ...] = ()) -> dict[str, Any]:
        return {
            "name": f"人 {key}", "email": f"{key.lower().replace(' ', '.')}@example.com", "roles": [ROLES.index(role) + 1], "skills": skills,
            "home_department_id": self.units[unit], "home_team_id": self.units[f"{unit}-team"],
        }  # fmt: skip

    async def person(self, key: str, role: str, *, unit: str = "sales", skills: tuple[str, ...] = (), password: bool = False) -> str:
        """One more person, signed in; their id. `key` is what `role=` takes afterwards. With `password` they have PASSWORD."""
        made = await self.ask("CreatePerson", **self._described(key, role, unit, skills))
        await self.sign_in(key, made.person.id, password=password)
        return str(made.person.id)

    async def sign_in(self, key: str, person_id: str, *, password: bool = False) -> None:
        """A session, kept under a key. Where the organization runs in this process it opens one itself: two hundred people of a run need no
        password, whose hashing costs a third of a second of a core each; how people sign in is tested where that is the matter."""
        self.people[key] = person_id
        if password or "organization" not in self.suite.running:
            await self.ask("SetPassword", person_id=person_id, password=PASSWORD)
        if "organization" in self.suite.running:
            tokens = (await self.ask("RefreshSession", role="", refresh_token=await self._opened(person_id))).tokens
        else:
            email = (await self.ask("GetPerson", person_id=person_id)).person.email
            tokens = (await self.ask("CreateSession", role="", email=email, password=PASSWORD)).tokens
        self.tokens[key], self._refresh[key] = tokens.access_token, tokens

    async def _opened(self, person_id: str) -> str:
        """The refresh token of a session that the organization opens by itself, as it does for who signed in elsewhere."""
        organization = self.suite["organization"]
        sessions = next(store for store in organization.stores if store.resource == "sessions")
        people = next(store for store in organization.stores if store.resource == "people")
        call = organization.own_call("tests")
        person = (await people.batch_get(call, [person_id]))[person_id]
        _, _, token = open_session(sessions, call, person, None)
        await call.changes.commit()
        return token

    def calls(self) -> dict[str, int]:
        """RPCs that the gateway has sent, by method."""
        gateway: Any = self.suite.running["gateway"]
        return dict(sum((Counter(channel.calls) for channel in gateway.clients.channels.values()), Counter[str]()))
