"""People, departments, sessions and the first policy: their rules, pure."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from crm.organization.v1 import person_pb2

from chassis.kernel.errors import Invalid, NotAllowed, WrongState
from chassis.rpc.documents import enum_numbers
from services.organization.access.model import EVERY_ACTION, OF_ADMINISTRATORS, OF_SERVICES, TITLES
from services.organization.access.policy import families, grants, personal, roles, services, spread
from services.organization.departments.model import DEEPEST, placed_below
from services.organization.people import model as people
from services.organization.people.passwords import hash_password, verify_password
from services.organization.sessions import model as sessions

ROLES = roles()
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SCOPES = {"OWN", "TEAM", "DEPARTMENT", "DEPARTMENT_AND_BELOW", "ALL"}
CUSTOMER_SIDE = ("customers", "contacts", "notes", "timeline_entries")


def person(**more: Any) -> dict[str, Any]:
    return {"name": "王小明", "email": " Wang@Example.COM ", "roles": ["SALES_REP", "MARKETER", "SALES_REP"], **more}


def test_a_person_is_completed() -> None:
    found = person()
    people.check(found)
    assert found == {"name": "王小明", "email": "wang@example.com", "roles": ["SALES_REP", "MARKETER"], "state": "ACTIVE"}


def test_nobody_is_their_own_manager() -> None:
    with pytest.raises(Invalid) as refused:
        people.check(person(_id="p1", manager_id="p1"))
    assert (refused.value.code, refused.value.field) == ("INVALID_ARGUMENT", "manager_id")
    people.check(person(_id="p1", manager_id="p2"))


def test_leaving_and_coming_back_each_once() -> None:
    assert people.left({"state": "ACTIVE"}) == {"state": "LEFT"}
    assert people.returned({"state": "LEFT"}) == {"state": "ACTIVE"}
    with pytest.raises(WrongState):
        people.left({"state": "LEFT"})
    with pytest.raises(WrongState):
        people.returned({"state": "ACTIVE"})


@pytest.mark.parametrize(
    "password", ["passwordpassword", "PASSWORDPASSWORD", "aaaaaaaaaaaa", "ababab ababab", "wang@example.com1", "wangxiaoming1"]
)
def test_guessable_passwords_are_refused(password: str) -> None:
    with pytest.raises(Invalid) as refused:
        people.check_password(password, {"name": "wangxiaoming", "email": "wang@example.com"})
    assert (refused.value.code, refused.value.field) == ("PASSWORD_TOO_COMMON", "password")
    assert password not in refused.value.message


def test_a_password_of_own_words_is_taken() -> None:
    people.check_password("four words of our own", {"name": "王小明", "email": "wang@example.com"})


async def test_a_hash_verifies_its_password_only() -> None:
    stored = await hash_password("four words of our own")
    assert stored.startswith("$argon2id$")
    assert await verify_password(stored, "four words of our own")
    assert not await verify_password(stored, "four words of our owm")
    assert not await verify_password("", "nobody has this password")
    assert not await verify_password("no hash", "four words of our own")


KINDS = ("GROUP", "REGION", "COMPANY", "DEPARTMENT", "TEAM")


@pytest.mark.parametrize("above", KINDS)
@pytest.mark.parametrize("below", KINDS)
def test_a_unit_stands_below_its_own_or_a_wider_kind(above: str, below: str) -> None:
    parent = {"_id": "u1", "kind": above, "ancestor_ids": ["u0"]}
    if KINDS.index(below) >= KINDS.index(above):
        assert placed_below({"kind": below}, parent) == {"kind": below, "ancestor_ids": ["u0", "u1"]}
    else:
        with pytest.raises(Invalid) as refused:
            placed_below({"kind": below}, parent)
        assert refused.value.field == "kind"


def test_a_root_has_no_ancestors() -> None:
    assert placed_below({"kind": "TEAM"}, None) == {"kind": "TEAM", "ancestor_ids": []}


def test_the_tree_ends_at_its_deepest_level() -> None:
    line = [f"u{number}" for number in range(DEEPEST)]
    assert placed_below({"kind": "TEAM"}, {"_id": "x", "kind": "TEAM", "ancestor_ids": line[: DEEPEST - 2]})["ancestor_ids"][-1] == "x"
    with pytest.raises(Invalid) as refused:
        placed_below({"kind": "TEAM"}, {"_id": "x", "kind": "TEAM", "ancestor_ids": line[: DEEPEST - 1]})
    assert (refused.value.code, refused.value.field) == ("DEPARTMENT_TOO_DEEP", "parent_id")


def test_a_session_stores_no_token() -> None:
    session = sessions.opened("p1", "secret token", NOW, "browser")
    assert session == {
        "person_id": "p1", "owner_id": "p1", "expire_time": NOW + timedelta(days=14), "used_hashes": [],
        "refresh_hash": sessions.fingerprint("secret token"), "user_agent": "browser",
    }  # fmt: skip
    assert "user_agent" not in sessions.opened("p1", "secret token", NOW, None)


def test_refreshing_remembers_the_used_token_and_no_more_than_fifty() -> None:
    tokens = ["token 0"]
    session = sessions.opened("p1", tokens[0], NOW, None)
    for number in range(1, 61):
        session |= sessions.refreshed(session, tokens[-1], f"salt {number}", NOW + timedelta(hours=number))
        tokens.append(sessions.successor(tokens[-1], f"salt {number}"))
    assert session["refresh_hash"] == sessions.fingerprint(tokens[60])
    assert session["used_hashes"] == [sessions.fingerprint(tokens[number]) for number in range(10, 60)]
    assert session["expire_time"] == NOW + timedelta(hours=60, days=14)


def test_only_the_token_that_was_exchanged_last_is_taken_again_and_that_for_thirty_seconds() -> None:
    tokens = ["token 0"]
    session = sessions.opened("p1", tokens[0], NOW, None)
    assert not sessions.repeats(session, tokens[0], NOW)
    for number in (1, 2):
        session |= sessions.refreshed(session, tokens[-1], f"salt {number}", NOW)
        tokens.append(sessions.successor(tokens[-1], f"salt {number}"))
    first, second, third = tokens
    assert len({first, second, third}) == 3
    for seconds, again in ((0, True), (30, True), (30.001, False), (3600, False)):
        assert sessions.repeats(session, second, NOW + timedelta(seconds=seconds)) is again
    assert not sessions.repeats(session, first, NOW)
    assert not sessions.repeats(session, third, NOW)
    # While a release rolls: a replica that knows no salt exchanged the token; the salt and the time are those of the exchange before.
    older = {"refresh_hash": sessions.fingerprint("by another build"), "used_hashes": [*session["used_hashes"], session["refresh_hash"]]}
    assert not sessions.repeats(session | older, third, NOW)


def test_the_next_refresh_token_needs_both_the_present_one_and_the_salt() -> None:
    assert len(sessions.successor("token", "salt")) == 43
    found = {sessions.successor(token, salt) for token in ("token", "tokem") for salt in ("salt", "salz")}
    assert len(found) == 4
    session = sessions.opened("p1", "token", NOW, None)
    session |= sessions.refreshed(session, "token", "salt", NOW)
    assert sessions.successor("token", "salt") not in str(session)


def test_every_wrong_sign_in_gets_one_answer() -> None:
    assert isinstance(sessions.refused(), NotAllowed)
    assert (sessions.refused().code, sessions.refused().message) == (sessions.refused().code, sessions.refused().message)
    assert sessions.refused().code == "SIGN_IN_REFUSED"
    assert sessions.refresh_refused().code == "REFRESH_REFUSED"


def test_the_policy_has_the_contracts_roles_and_known_scopes_only() -> None:
    assert set(ROLES) == set(TITLES) == set(enum_numbers(person_pb2.Role.DESCRIPTOR))
    lines = list(grants({**ROLES, **services()}))
    assert {scope for _, _, _, scope in lines} <= SCOPES
    assert {action for _, _, action, _ in lines} <= {*EVERY_ACTION, *OF_ADMINISTRATORS, *OF_SERVICES}
    assert not {action for _, _, action, _ in grants(ROLES)} & set(OF_SERVICES)
    assert len({line[:3] for line in lines}) == len(lines)


@pytest.mark.parametrize("role", sorted(ROLES))
def test_every_role_reads_the_directory_of_people_and_keeps_its_own_session_and_password(role: str) -> None:
    rights = ROLES[role]
    assert rights["people"]["read"] == rights["departments"]["read"] == "ALL"
    if role == "ADMINISTRATOR":
        assert rights["people"]["password"] == rights["sessions"]["update"] == "ALL"
    else:
        assert rights["people"] == {"read": "ALL", "password": "OWN", "absence": "OWN"}
        assert rights["sessions"] == {"read": "OWN", "update": "OWN"}


@pytest.mark.parametrize("role", sorted(ROLES))
def test_whoever_may_change_may_read_at_least_as_far(role: str) -> None:
    order = ("OWN", "TEAM", "DEPARTMENT", "DEPARTMENT_AND_BELOW", "ALL")
    for resource, actions in ROLES[role].items():
        for action, scope in actions.items():
            assert order.index(actions["read"]) >= order.index(scope), f"{role} {resource} {action}"


def test_the_administrator_sees_no_customer_and_nothing_of_their_business() -> None:
    assert not set(ROLES["ADMINISTRATOR"]) & {
        *CUSTOMER_SIDE, "segments", "opportunities", "orders", "campaigns", "campaign_messages", "tickets", "ticket_replies",
    }  # fmt: skip


def test_only_the_administrator_changes_people_and_departments() -> None:
    for role, rights in ROLES.items():
        for resource in ("people", "departments"):
            assert (rights[resource].get("create") == "ALL") == (role == "ADMINISTRATOR")


def test_sellers_reach_their_own_and_their_teams_customers() -> None:
    for name in CUSTOMER_SIDE:
        assert ROLES["SALES_REP"][name]["read"] == "OWN"
        assert ROLES["SALES_LEAD"][name]["read"] == "TEAM"
    assert "assign" not in ROLES["SALES_REP"]["customers"]
    assert ROLES["SALES_LEAD"]["customers"]["assign"] == "TEAM"


def test_marketers_and_agents_change_no_customer() -> None:
    assert ROLES["MARKETER"]["customers"] == {"read": "ALL"}
    assert ROLES["SUPPORT_AGENT"]["customers"] == {"read": "ALL"}
    assert "opportunities" not in ROLES["MARKETER"]


def test_only_the_coordinator_imports_business_records() -> None:
    for role in set(ROLES) - {"COORDINATOR", "ADMINISTRATOR"}:
        assert not [resource for resource, actions in ROLES[role].items() if "import" in actions]
    assert ROLES["COORDINATOR"]["customers"]["import"] == "ALL"


def test_a_department_has_rights_on_what_it_owns_and_needs() -> None:
    assert set(services()) == {f"service-{name}" for name in ("organization", "customer", "sales", "marketing", "support", "cli")}
    assert set(services()["service-sales"]) >= {"products", "pipelines", "opportunities", "orders", "directory", "checkpoints", "facts"}
    assert services()["service-marketing"]["contacts"] == {"read": "ALL"}
    assert "customers" not in services()["service-support"]


def test_every_resource_belongs_to_one_family_and_a_line_of_its_own_counts_in_place_of_the_familys() -> None:
    named = [resource for resources in families().values() for resource in resources]
    assert len(named) == len(set(named))
    assert spread({"sales work": {"read": "ALL", "assign": "ALL"}, "orders": {"read": "OWN"}}) == {
        "opportunities": {"read": "ALL", "assign": "ALL"}, "orders": {"read": "OWN"},
    }  # fmt: skip
    assert "orders" not in spread({"sales work": {"read": "ALL"}, "orders": {}})
    assert {"sessions", "people", "graph"} <= set(personal())


def test_a_word_that_is_no_family_and_no_resource_stops_the_policy() -> None:
    with pytest.raises(RuntimeError, match="sails work"):
        spread({"sails work": {"read": "ALL"}})


def test_a_password_is_hashed_at_the_cost_that_rfc_9106_wants_and_in_requests_by_scrypt() -> None:
    shown = """from chassis.rpc.repeats import SCRYPT_COST; from services.organization.people import passwords as p; h = p._hasher
print(h.type.name, h.time_cost, h.memory_cost, h.parallelism, SCRYPT_COST)"""
    answer = subprocess.run(
        [sys.executable, "-c", shown],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert answer.stdout.split() == ["ID", "3", "65536", "4", "16384"]
