"""Devices that are known: a sealed token of an earlier sign-in, which the client keeps. It opens nothing; guesses that others make at the account, or
from the same address, do not hold up who shows it. Nothing is stored of it here."""

from __future__ import annotations

import base64
import binascii

from cryptography.exceptions import InvalidTag

from chassis.kernel.addresses import holder_of
from chassis.kernel.ids import new_id
from chassis.rpc.call import Call
from services.organization.sessions import model

_PLACE = "device token"


def known(call: Call, token: str, person_id: str) -> str:
    """The id of the device that a token of this person names; "" for anything else."""
    try:
        sealed = base64.urlsafe_b64decode(token.encode())
        return model.device_of(call.vault.open_own(sealed, _PLACE), person_id, call.now) if sealed else ""
    except (InvalidTag, ValueError, binascii.Error):
        return ""


def token_of(call: Call, person_id: str, device_id: str) -> str:
    """The token for a device, a new one where it was not known."""
    content = model.device_content(person_id, device_id or new_id(), call.now)
    return base64.urlsafe_b64encode(call.vault.seal_own(content, _PLACE)).decode()


def place_of(call: Call, device_id: str) -> str:
    """Under what guesses are counted: the device where it is known, the address otherwise."""
    return f"device {device_id}" if device_id else f"address {holder_of(call.address)}"
