"""A webhook source: what makes one complete. No I/O."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from typing import Any

from chassis.kernel.errors import Invalid
from chassis.kernel.signatures import is_secret

Document = dict[str, Any]


def check(source: Document, known: Collection[str]) -> None:
    """Complete a source; refuse one without a name, without rights, or of types with which nothing can be done."""
    source["display_name"] = " ".join(source["display_name"].split())
    if not source["display_name"]:
        raise Invalid("display_name consists of blanks; say it in words", field="display_name")
    source["roles"] = list(dict.fromkeys(source.get("roles", [])))
    if not source["roles"] and not source.get("role_definition_ids"):
        words = "a source needs a role; name a shipped one in roles or one of your own in role_definition_ids"
        raise Invalid(words, field="roles")
    for index, name in enumerate(source["event_types"]):
        if name not in known:
            near = get_close_matches(name, sorted(known), 1, 0.4) or sorted(known)
            words = f"nothing can be done with «{name}»; there is {', '.join(near)}"
            raise Invalid(words, code="WEBHOOK_TYPE_UNKNOWN", field=f"event_types[{index}]")


def check_secret(secret: str) -> None:
    """Refuse a secret that no library of Standard Webhooks would take."""
    if secret and not is_secret(secret):
        words = "this is no secret of Standard Webhooks: «whsec_» and 24 to 64 bytes in base64; leave it out to get one"
        raise Invalid(words, code="WEBHOOK_SECRET_REFUSED", field="secret")
