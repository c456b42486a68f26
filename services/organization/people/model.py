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
BY_COMMAND = ("deputy_id", "absence_start_time", "absence_end_time", "successor_id", "provided_roles")


def command_refusal(person: Document, before: Document) -> CrmError | None:
    """Why a person cannot be stored so: an absence or a successor came in beside their commands. None when not."""
    for name in BY_COMMAND:
        if person.get(name) != before.get(name):
            how = "by signing in through an identity provider" if name == "provided_roles" else "by personSetAbsence or personHandOver"
            return Invalid(f"{name} is set {how}; leave it out", field=name)
    return None


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
