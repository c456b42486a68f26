"""API keys at the door: exchanged for a short token, which is what goes on to the departments; kept until shortly before its end."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict

from crm.organization.v1 import session_service_pb2

from chassis.kernel.errors import CrmError
from gateway.departments.clients import Clients

SERVICE = session_service_pb2.DESCRIPTOR.services_by_name["SessionService"]
PREFIX = "crm_"
_MOST, _EARLY_SECONDS = 4096, 30


class ApiKeys:
    """Tokens by the fingerprint of their key."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._tokens: OrderedDict[str, tuple[str, float]] = OrderedDict()

    async def token(self, given: str, request_id: str) -> str:
        """The token to go on with: that of the key, or what was given when it is none, or a key that is no good."""
        if not given.startswith(PREFIX):
            return given
        mark = hashlib.sha256(given.encode()).hexdigest()
        known, until = self._tokens.get(mark, ("", 0.0))
        if time.time() < until:
            return known
        try:
            request = session_service_pb2.ExchangeApiKeyRequest(secret=given)
            answer = await self._clients.read("organization", SERVICE, "ExchangeApiKey", request, "", request_id)
        except CrmError:
            return given  # the departments refuse it, as they refuse every token that is none
        self._tokens[mark] = (answer.access_token, answer.access_expire_time.seconds - _EARLY_SECONDS)
        while len(self._tokens) > _MOST:
            self._tokens.popitem(last=False)
        return str(answer.access_token)
