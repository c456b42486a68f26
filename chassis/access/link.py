"""A department's tie to the organization: its own token, the keys, the directory. Knows only the common contract."""

from __future__ import annotations

from collections.abc import Mapping
from time import time

from crm.common.v1 import access_service_pb2

from chassis.rpc.channels import DEFAULT_SECONDS, Channel

SERVICE = access_service_pb2.DESCRIPTOR.services_by_name["AccessService"]
_RENEW_SECONDS = 60


class OrganizationLink:
    """Asks the organization in the name of one service, whose secret it holds. `seconds` is how long an answer is waited for."""

    def __init__(self, channel: Channel, service: str, secret: str, seconds: float = DEFAULT_SECONDS) -> None:
        self.channel, self.service, self.secret, self.seconds = channel, service, secret, seconds
        self._token, self._ends = "", 0.0

    async def token(self) -> str:
        """The service's own token, renewed a minute before its end."""
        if time() > self._ends - _RENEW_SECONDS:
            request = access_service_pb2.IssueServiceTokenRequest(service=self.service, secret=self.secret)
            answer = await self.channel.call(SERVICE, "IssueServiceToken", request)
            self._token, self._ends = answer.token.access_token, answer.token.access_expire_time.seconds
        return self._token

    async def fetch_keys(self) -> Mapping[str, bytes]:
        """The public keys that verify tokens, by key id."""
        answer = await self.channel.call(SERVICE, "ListSigningKeys", access_service_pb2.ListSigningKeysRequest(), seconds=self.seconds)
        return {key.kid: key.public_key for key in answer.keys}

    async def fetch_directory(self, request: access_service_pb2.GetDirectoryRequest) -> access_service_pb2.GetDirectoryResponse:
        """What changed of the directory and its parts since the revisions that are known."""
        answer: access_service_pb2.GetDirectoryResponse = await self.channel.call(
            SERVICE, "GetDirectory", request, token=await self.token()
        )
        return answer
