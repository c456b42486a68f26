"""API keys at the door: exchanged for a short token, which is what goes on to the departments; kept until shortly before its end."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict

from crm.organization.v1 import session_service_pb2

from chassis.kernel.errors import CrmError
from gateway.departments.clients import Clients
from gateway.departments.errors import field_error

SERVICE = session_service_pb2.DESCRIPTOR.services_by_name["SessionService"]
PREFIX = "crm_"
_MOST, _EARLY_SECONDS, _LAST_SECONDS = 4096, 30, 2


class ApiKeys:
    """Tokens by the fingerprint of their key, each with when to ask again and when it ends."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._tokens: OrderedDict[str, tuple[str, float, float]] = OrderedDict()

    async def token(self, given: str, request_id: str) -> str:
        """The token to go on with: that of the key, or what was given when it is none, or a key that is no good. Raises GraphQLError where the
        organization does not say which, and nothing is known that is good still."""
        if not given.startswith(PREFIX):
            return given
        mark = hashlib.sha256(given.encode()).hexdigest()
        known, until, ends = self._tokens.get(mark, ("", 0.0, 0.0))
        if time.time() < until:
            return known
        try:
            request = session_service_pb2.ExchangeApiKeyRequest(secret=given)
            answer = await self._clients.read("organization", SERVICE, "ExchangeApiKey", request, "", request_id)
        except CrmError as error:
            if not error.retryable:
                return given  # the departments refuse it, as they refuse every token that is none
            if (moment := time.time()) < ends - _LAST_SECONDS:
                self._tokens[mark] = known, moment + _LAST_SECONDS, ends
                return known  # it is good for some seconds still; the organization is asked again soon
            raise field_error(error, "organization") from None
        ends = answer.access_expire_time.seconds
        self._tokens[mark] = answer.access_token, ends - _EARLY_SECONDS, ends
        while len(self._tokens) > _MOST:
            self._tokens.popitem(last=False)
        return str(answer.access_token)
