"""An identity provider: what makes one complete, whom its claims name, and which roles their groups give. No I/O."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from chassis.kernel.errors import Invalid, NotAllowed, WrongState
from services.organization.webhook_endpoints.destinations import Destinations

Document = dict[str, Any]
SCOPES, GROUPS_CLAIM = ("profile", "email"), "groups"
STATE_MINUTES = 10
_MAIL = ("email", "email_verified")
_LONGEST_EMAIL, _LONGEST_NAME = 254, 100
_LOCAL = frozenset(("localhost", "127.0.0.1", "::1"))


@dataclass(frozen=True)
class Identity:
    """Whom a provider vouches for: its own name for the person, a mail address that it has verified, and the person's groups."""

    subject: str
    email: str
    name: str
    groups: frozenset[str]


def check(destinations: Destinations, provider: Document) -> None:
    """Complete a provider; refuse addresses that others could listen to or that lead inside, and mappings that say nothing or two things."""
    must_be_safe(provider["issuer"], "issuer", query=False)
    if words := destinations.flaw(provider["issuer"]):
        raise Invalid(words, field="issuer")
    for index, address in enumerate(provider.get("redirect_uris", [])):
        must_be_safe(address, f"redirect_uris[{index}]")
    provider["scopes"] = [name for name in dict.fromkeys(provider.get("scopes") or SCOPES) if name != "openid"]
    provider["groups_claim"] = provider.get("groups_claim") or GROUPS_CLAIM
    provider["creates_people"] = bool(provider.get("creates_people"))
    for index, line in enumerate(provider.get("role_grants", [])):
        if bool(line.get("role")) == bool(line.get("role_definition_id")):
            words = "a group gives a shipped role or one of the company's own; name one of the two, and the other in a line of its own"
            raise Invalid(words, field=f"role_grants[{index}]")
    if provider["creates_people"] and not provider.get("home_department_id"):
        raise Invalid("people who are made at their first sign-in need a department; name it", field="home_department_id")


def must_be_safe(address: str, field: str, *, query: bool = True) -> None:
    """Refuse an address that is neither https nor on this machine, or that carries what does not belong in it."""
    if not is_safe(address) or (not query and "?" in address):
        raise Invalid("write an address that begins with https:// (http:// on this machine only), without user and fragment", field=field)


def is_safe(address: str) -> bool:
    """Whether what is sent there stays between the two of us."""
    try:
        parts = urlsplit(address)
        local, named = parts.hostname in _LOCAL, bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    plain = address.isascii() and address.isprintable() and not any(mark in address for mark in " \\#@")
    return plain and named and (parts.scheme == "https" or (parts.scheme == "http" and local))


def authorization_url(endpoint: str, provider: Document, begun: Document, state: str) -> str:
    """Where a browser goes to sign in: the authorization code flow with PKCE S256 (RFC 7636)."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(begun["verifier"].encode()).digest()).decode().rstrip("=")
    asked = {
        "response_type": "code", "client_id": provider["client_id"], "redirect_uri": begun["redirect_uri"],
        "scope": " ".join(("openid", *provider["scopes"])), "state": state, "nonce": begun["nonce"],
        "code_challenge": challenge, "code_challenge_method": "S256",
    }  # fmt: skip
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"


def lacks(provider: Document, claims: Mapping[str, Any]) -> bool:
    """Whether the provider's userinfo must be asked too: not every provider puts everything into the ID token."""
    return any(_claim(claims, name) is None for name in ("email", "email_verified", provider["groups_claim"]))


def joined(token: Mapping[str, Any], more: Mapping[str, Any]) -> Document:
    """The claims of the ID token and of userinfo together. The mail address and that it was verified come from one of the two: what one
    document says of an address says nothing of another's. Where the two contradict each other there is no address."""
    own, other = _said(token), _said(more)
    proof = next((one for one in (own, other) if all(name in one for name in _MAIL)), {})
    told = {str(one["email"]).strip().lower() for one in (own, other) if "email" in one}
    denied = any(one.get("email_verified", True) is not True for one in (own, other))
    mail = {} if denied or len(told) > 1 else {name: proof[name] for name in _MAIL if name in proof}
    return {name: value for name, value in (other | own).items() if name not in _MAIL} | mail


def _said(claims: Mapping[str, Any]) -> Document:
    """What a document says itself: not what it says that another source would say (OpenID Connect Core 5.6.2)."""
    elsewhere = claims.get("_claim_names")
    return {name: value for name, value in claims.items() if not isinstance(elsewhere, dict) or name not in elsewhere}


def identity_of(provider: Document, claims: Mapping[str, Any]) -> Identity:
    """Whom verified claims name. Raises EMAIL_NOT_VERIFIED."""
    email = claims.get("email")
    good = isinstance(email, str) and "@" in email and len(email) <= _LONGEST_EMAIL
    if not good or claims.get("email_verified") is not True:  # the JSON value, as the specification has it: a text or a number is no proof
        raise email_refused()
    address = "".join(letter.lower() if letter.isascii() else letter for letter in str(email).strip())  # K of Kelvin is no k
    name = claims.get("name")
    shown = " ".join(name.split())[:_LONGEST_NAME] if isinstance(name, str) else ""
    found = _claim(claims, provider["groups_claim"])
    groups = [found] if isinstance(found, str) else found if isinstance(found, list) else []
    return Identity(claims["sub"], address, shown or address[:_LONGEST_NAME], frozenset(one for one in groups if isinstance(one, str)))


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, or by a path of names with dots between them ("realm_access.roles")."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def granted(provider: Document, groups: frozenset[str]) -> Document:
    """The roles that the groups give, as a person's record holds them; only the provider's id when they give none."""
    lines = [line for line in provider.get("role_grants", []) if line["group"] in groups]
    found: Document = {"identity_provider_id": provider["_id"]}
    for field, name in (("roles", "role"), ("role_definition_ids", "role_definition_id")):
        if roles := sorted({line[name] for line in lines if line.get(name)}):
            found[field] = roles
    return found


def provided(person: Document, given: Document) -> list[Document]:
    """A person's provided roles with those of one provider replaced; those of others stay."""
    others = still_provided(person, (given["identity_provider_id"],))
    return [*others, given] if len(given) > 1 else others


def still_provided(person: Document, gone: Collection[str]) -> list[Document]:
    """A person's provided roles without those of the providers that are gone."""
    return [one for one in person.get("provided_roles", []) if one["identity_provider_id"] not in gone]


def redirect_refused() -> Invalid:
    """For an address that the provider's record does not name."""
    words = "this is none of the provider's redirect_uris; use one of them letter by letter, or have it added"
    return Invalid(words, code="REDIRECT_URI_UNKNOWN", field="redirect_uri")


def unreachable() -> WrongState:
    """For a provider that does not answer, or with something else than a provider's answer. The log says which."""
    words = "the identity provider does not answer as it should; try again, and tell an administrator when it stays so"
    return WrongState(words, code="PROVIDER_UNREACHABLE", retryable=True)


def broken_off() -> WrongState:
    """For a provider that was lost on the way back: state and code are used up, so the same request can only be refused."""
    words = "the identity provider did not answer as it should; begin the sign-in anew, and tell an administrator when it stays so"
    return WrongState(words, code="PROVIDER_UNREACHABLE", retryable=False)


def refused() -> NotAllowed:
    """The one answer to every sign-in that the provider does not vouch for, or that was not begun here. The log has the reason."""
    return NotAllowed("this sign-in is not good, took too long or was completed before; begin it anew", code="PROVIDER_SIGN_IN_REFUSED")


def email_refused() -> NotAllowed:
    """For somebody whose mail address the provider does not vouch for."""
    words = "your identity provider has not verified your mail address; have it verified there"
    return NotAllowed(words, code="EMAIL_NOT_VERIFIED")


def unknown_person() -> NotAllowed:
    """For somebody whom the provider knows, but who does not work here, or not any more."""
    return NotAllowed("nobody who works here has your mail address; ask an administrator to enter you", code="NO_SUCH_PERSON")


def identity_taken() -> NotAllowed:
    """For another account of the provider with a person's mail address: an address may have been given to somebody else."""
    words = "you are known by another account of this identity provider; an administrator lets you link this one by deactivating and reactivating you"
    return NotAllowed(words, code="IDENTITY_TAKEN")


def without_role() -> NotAllowed:
    """For somebody who would have no role at all."""
    return NotAllowed("none of your groups has a role here; ask an administrator for one", code="NO_ROLE_PROVIDED")
