"""Who asks, as far as the gateway needs it: a name to count by, and whether the caller may look at the graph itself.

What may be read or done is decided by the departments, not here.
"""

from __future__ import annotations

import asyncio
import logging
import time

from crm.common.v1 import access_service_pb2

from chassis.access.authority import Authority
from chassis.access.caller import Caller
from chassis.access.link import SERVICE, OrganizationLink
from chassis.access.tokens import claims_of
from chassis.kernel.addresses import holder_of
from chassis.kernel.errors import CrmError
from gateway.departments.clients import Clients
from gateway.departments.context import Context
from gateway.operations.keys import ApiKeys

log = logging.getLogger("crm.gateway")
RESOURCE, ACTION = "graph", "read"
GRANTS_SECONDS = 5.0
KEYS_SECONDS = 1.0  # for which one request at a time waits for keys that it may lack


class Callers:
    """Verifies tokens with the organization's published keys; a token is verified once."""

    def __init__(self, clients: Clients) -> None:
        link = OrganizationLink(clients.channels["organization"], "gateway", "", KEYS_SECONDS)
        self._clients, self._keys = clients, ApiKeys(clients)
        self._authority = Authority(_no_directory, link.fetch_keys)
        self._explorers: frozenset[str] = frozenset()
        self._until, self._asking = 0.0, asyncio.Lock()

    async def admit(self, context: Context) -> None:
        """Who comes with an API key goes on with its token."""
        context.token = await self._keys.token(context.token, context.request_id)

    async def name(self, context: Context) -> tuple[str, bool]:
        """What the caller's consumption is counted under: the person, or the address of a stranger, who has no good token; and whether it is one."""
        caller = await self._caller(context)
        return (f"address {holder_of(context.address)}", True) if caller is None else (caller.person_id, False)

    async def glance(self, context: Context) -> tuple[str, bool]:
        """The same for what is judged before anything is asked: until the first keys are here a token is taken by its form, and its holder by
        the address."""
        if self._authority.has_keys:
            return await self.name(context)
        return f"address {holder_of(context.address)}", not claims_of(context.token)

    async def may_introspect(self, context: Context) -> bool:
        """Whether the policy lets one of the caller's roles look at the graph itself."""
        caller = await self._caller(context)
        return caller is not None and bool(caller.roles & await self._exploring(context))

    async def _caller(self, context: Context) -> Caller | None:
        if not context.token:
            return None
        try:
            caller = await self._authority.verify(context.token)
        except CrmError:
            return None
        context.person_id = caller.person_id
        return caller

    async def _exploring(self, context: Context) -> frozenset[str]:
        async with self._asking:  # one asks for all, and where nobody answers what was known before holds until the next time
            if time.monotonic() > self._until:
                try:
                    await self._read_grants(context)
                except CrmError as error:
                    log.warning("grants not read", extra={"reason": error.message[:200]})
                self._until = time.monotonic() + GRANTS_SECONDS
        return self._explorers

    async def _read_grants(self, context: Context) -> None:
        request = access_service_pb2.ListGrantsRequest()
        answer = await self._clients.read("organization", SERVICE, "ListGrants", request, context.token, context.request_id)
        self._explorers = frozenset(grant.role for grant in answer.grants if (grant.resource, grant.action) == (RESOURCE, ACTION))


async def _no_directory(_: access_service_pb2.GetDirectoryRequest) -> access_service_pb2.GetDirectoryResponse:
    """The gateway decides nothing by the directory."""
    return access_service_pb2.GetDirectoryResponse()
