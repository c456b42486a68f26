"""A contact: what makes one complete. No I/O."""

from __future__ import annotations

from typing import Any

from chassis.kernel.errors import Invalid

Document = dict[str, Any]


def check(contact: Document) -> None:
    """Complete a contact: name without outer blanks, mail address in small letters."""
    contact["name"] = " ".join(contact["name"].split())
    if not contact["name"]:
        raise Invalid("the name consists of blanks; give the contact's name", field="name")
    if contact.get("email"):
        contact["email"] = contact["email"].strip().lower()
