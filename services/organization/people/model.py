"""A person: what makes one complete, and when one may sign in. No I/O."""

from __future__ import annotations

from typing import Any

from chassis.kernel.errors import Invalid, WrongState

Document = dict[str, Any]
COMMON_PASSWORDS = frozenset(
    [
        "123456789012",
        "password1234",
        "passwordpassword",
        "qwertyuiop12",
        "1q2w3e4r5t6y",
        "iloveyou1234",
        "administrator",
        "letmeinletmein",
        "welcome12345",
        "woaini1314520",
        "5201314520131",
        "111111111111",
        "000000000000",
        "abcdefghijkl",
        "qwerty123456",
        "admin1234567",
        "changeme1234",
        "zaq12wsxcde3",
        "asdfghjkl123",
        "monkey123456",
        "football1234",
        "xietong12345",
        "123123123123",
        "qazwsxedcrfv",
    ]
)


def check(person: Document) -> None:
    """Complete a person: mail address in small letters, active unless said otherwise, no role twice."""
    person["email"] = person["email"].strip().lower()
    person.setdefault("state", "ACTIVE")
    person["roles"] = list(dict.fromkeys(person["roles"]))
    if person.get("manager_id") and person["manager_id"] == person.get("_id"):
        raise Invalid("nobody is their own manager; choose another one or leave manager_id out", field="manager_id")


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


def check_password(password: str, person: Document) -> None:
    """Refuse what is guessed first: common passwords, one character over and over, the person's own name or address."""
    plain = password.lower()
    own = {person["name"].lower(), person["email"], person["email"].split("@")[0]}
    if plain in COMMON_PASSWORDS or len(set(plain)) < 4 or any(len(word) > 3 and plain.startswith(word) for word in own):
        raise Invalid(
            "this password is among the first that are guessed; choose three or four words of your own",
            code="PASSWORD_TOO_COMMON",
            field="password",
        )
