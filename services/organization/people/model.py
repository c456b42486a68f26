"""A person: what makes one complete, and when one may sign in. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from zxcvbn import zxcvbn

from chassis.kernel.errors import CrmError, Invalid, NotAllowed, NotFound, WrongState

Document = dict[str, Any]
# zxcvbn (Wheeler, USENIX Security 2016): 3 means at least 10^8 guesses by somebody who knows lists of passwords, words, names and keyboards.
_GOOD, _ESTIMATED = 3, 60


def check(person: Document) -> None:
    """Complete a person: mail address in small letters, active unless said otherwise, no role twice."""
    person["email"] = person["email"].strip().lower()
    person.setdefault("state", "ACTIVE")
    person["roles"] = list(dict.fromkeys(person.get("roles", [])))
    if not every_role(person):
        raise Invalid("a person needs a role; name a shipped one in roles or one of your own in role_definition_ids", field="roles")
    if person.get("role_definition_ids"):
        person["role_definition_ids"] = list(dict.fromkeys(person["role_definition_ids"]))
    if person.get("manager_id") and person["manager_id"] == person.get("_id"):
        raise Invalid("nobody is their own manager; choose another one or leave manager_id out", field="manager_id")


def every_role(person: Document, providers: Collection[str] | None = None) -> list[str]:
    """Every role of a person, by hand and by identity providers (all, or only those named): shipped ones by their code, others by id."""
    given = person.get("provided_roles", [])
    sources = (person, *(one for one in given if providers is None or one["identity_provider_id"] in providers))
    return list(dict.fromkeys(role for one in sources for name in ("roles", "role_definition_ids") for role in one.get(name, [])))


def left(person: Document) -> Document:
    """The changes when a person leaves."""
    if person["state"] == "LEFT":
        raise WrongState("this person has already left; nothing needs to be done")
    return {"state": "LEFT"}


def returned(person: Document) -> Document:
    """The changes when a person comes back."""
    if person["state"] == "ACTIVE":
        raise WrongState("this person is active; nothing needs to be done")
    return {"state": "ACTIVE"}


def absent(person: Document, deputy_id: str | None, begins: datetime | None, ends: datetime | None, now: datetime) -> Document:
    """The changes when a person says when they are away; without a deputy the absence ends."""
    if not deputy_id:
        if begins or ends:
            raise Invalid("an absence needs somebody who stands in; name a deputy, or leave the times out to end it", field="deputy_id")
        return {"deputy_id": None, "absence_start_time": None, "absence_end_time": None}
    if deputy_id == person["_id"]:
        raise Invalid("nobody stands in for themselves; choose another deputy", field="deputy_id")
    begins = begins or now
    if ends and ends <= max(begins, now):
        raise Invalid("the absence ends before it begins, or has ended already; correct absence_end_time", field="absence_end_time")
    return {"deputy_id": deputy_id, "absence_start_time": begins, "absence_end_time": ends}


# Set by commands of their own, which judge them.
_BY = {
    "deputy_id": "personSetAbsence", "absence_start_time": "personSetAbsence", "absence_end_time": "personSetAbsence",
    "successor_id": "personHandOver or personDeactivate", "provided_roles": "signing in through an identity provider",
    "state": "personDeactivate or personReactivate",
}  # fmt: skip
# What everybody may say of themselves with the right to change people; the rest decides what they reach, or who they are.
OF_ONESELF = ("name", "phone", "locale", "time_zone")
DECIDES_REACH = ("home_department_id", "home_team_id", "manager_id", "roles", "role_definition_ids", "email")


GIVEN = (*OF_ONESELF, *DECIDES_REACH, "post", "skills", "own_work_calendar_id")


def command_refusal(person: Document, before: Document) -> CrmError | None:
    """Why a person cannot be stored so: an absence, a successor or a departure came in beside their commands. None when not. That somebody of
    earlier times has left may be told when they are brought in."""
    for name, how in _BY.items():
        if person.get(name) != before.get(name) and (before or name != "state"):
            return Invalid(f"{name} is set by {how}; leave it out", field=name)
    return None


def reach_refusal(person: Document, before: Document, caller_id: str) -> CrmError | None:
    """Why somebody without the right to give roles cannot store a person so; None when nothing speaks against it. Where a person stands decides
    what they see, as roles do; by the mail address they are known to identity providers."""
    changed = [name for name in GIVEN if (person.get(name) or None) != (before.get(name) or None)] if before else ()
    for name in changed:
        if name in DECIDES_REACH:
            words = (
                "where a person stands decides what they reach; changing it takes the right to give roles («assign» on role_definitions)"
            )
            return NotAllowed(words, field=name)
        if person["_id"] == caller_id and name not in OF_ONESELF:
            return NotAllowed(f"of yourself you may change {', '.join(OF_ONESELF)}; ask an administrator for the rest", field=name)
    return None


def team_refusal(person: Document, team: Document | None) -> CrmError | None:
    """Why a person cannot be in this team: it stands in another department than the person's. None when not."""
    if team is None or person.get("home_department_id") in (team["_id"], *team.get("ancestor_ids", ())):
        return None
    words = "this team stands in another department; choose one of the person's own, or another home_department_id"
    return Invalid(words, code="TEAM_OF_ANOTHER_DEPARTMENT", field="home_team_id")


def role_refusal(person: Document, before: Document | None, known: Mapping[str, Document], may_assign: bool) -> CrmError | None:
    """Why a person cannot have these roles; None when nothing speaks against them. Roles that they have already need no right."""
    for name in ("roles", "role_definition_ids"):
        added = set(person.get(name, [])) - set((before or {}).get(name, []))
        if added and not may_assign:
            return NotAllowed("your roles do not let you give roles; ask an administrator («assign» on role_definitions)", field=name)
    had = set((before or {}).get("role_definition_ids", []))
    for index, identity in enumerate(person.get("role_definition_ids", [])):
        if identity in had:  # a role that was archived since may stay; it gives nothing
            continue
        role = known.get(identity)
        if role is None or role.get("archive_time") or role.get("role"):
            return NotFound(
                f"there is no role of the company's own «{identity}» in use; check role_definition_ids (shipped ones go in roles)",
                code="REFERENCE_NOT_FOUND", field=f"role_definition_ids[{index}]",
            )  # fmt: skip
    return None


def check_password(password: str, person: Document) -> None:
    """Refuse what is guessed first: common passwords, one character over and over, the person's own name or address."""
    own = [person["name"].lower(), person["email"], person["email"].split("@")[0]]
    begins_so = any(len(word) > 3 and password.lower().startswith(word) for word in own)
    if begins_so or len(set(password.lower())) < 4 or zxcvbn(password[:_ESTIMATED], user_inputs=own)["score"] < _GOOD:
        raise Invalid(
            "this password is among the first that are guessed; choose three or four words of your own",
            code="PASSWORD_TOO_COMMON",
            field="password",
        )
