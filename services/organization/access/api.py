"""AccessService: keys, service tokens, directory and policy for the other departments."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping

from crm.common.v1 import access_pb2, access_service_pb2

from chassis.access.caller import Caller
from chassis.access.tokens import Signer
from chassis.kernel.errors import unauthenticated
from chassis.rpc.call import Call
from chassis.rpc.service import Service
from services.organization.access import store
from services.organization.access.policy import grants, services
from services.organization.sessions.keys import SigningKeys

DESCRIPTOR = access_service_pb2.DESCRIPTOR.services_by_name["AccessService"]
_SCOPES = access_pb2.Scope.DESCRIPTOR.values_by_name


LoadDirectory = Callable[[access_service_pb2.GetDirectoryRequest], Awaitable[access_service_pb2.GetDirectoryResponse]]


def service(signer: Signer, signing: SigningKeys, secrets: Mapping[str, str], load: LoadDirectory) -> Service:
    """`secrets` maps a service's name to the secret by which it gets its token; `load` answers for the directory."""

    async def list_keys(_: Call, __: access_service_pb2.ListSigningKeysRequest) -> access_service_pb2.ListSigningKeysResponse:
        return access_service_pb2.ListSigningKeysResponse(keys=_keys(signing))

    async def rotate(_: Call, __: access_service_pb2.RotateSigningKeyRequest) -> access_service_pb2.RotateSigningKeyResponse:
        await signing.rotate()
        return access_service_pb2.RotateSigningKeyResponse(keys=_keys(signing))

    async def issue(call: Call, request: access_service_pb2.IssueServiceTokenRequest) -> access_service_pb2.IssueServiceTokenResponse:
        expected = secrets.get(request.service, "")
        if call.calling not in ("", request.service):  # a secret that got into other hands opens nothing from another's place
            raise unauthenticated("The service or its secret is wrong.")
        if not hmac.compare_digest(expected.encode(), request.secret.encode()) or not expected:
            raise unauthenticated("The service or its secret is wrong.")
        name = f"service-{request.service}"
        text, ends = signer.sign(Caller(name, frozenset((name,))))
        token = access_pb2.ServiceToken(access_token=text)
        token.access_expire_time.FromSeconds(ends)
        return access_service_pb2.IssueServiceTokenResponse(token=token)

    async def directory(_: Call, request: access_service_pb2.GetDirectoryRequest) -> access_service_pb2.GetDirectoryResponse:
        return await load(request)

    async def list_grants(call: Call, request: access_service_pb2.ListGrantsRequest) -> access_service_pb2.ListGrantsResponse:
        lines = [
            access_pb2.Grant(role=role, resource=resource, action=action, scope=_SCOPES[f"SCOPE_{scope}"].number)
            for role, resource, action, scope in grants(await store.roles_of(call.database) | services())
            if (not request.own or role in call.caller.roles) and request.resource in ("", resource)
        ]
        return access_service_pb2.ListGrantsResponse(grants=lines)

    handlers = {
        "ListSigningKeys": list_keys,
        "IssueServiceToken": issue,
        "GetDirectory": directory,
        "ListGrants": list_grants,
        "RotateSigningKey": rotate,
    }
    return Service(DESCRIPTOR, handlers, {})


def _keys(signing: SigningKeys) -> list[access_pb2.SigningKey]:
    return [access_pb2.SigningKey(kid=kid, public_key=key) for kid, key in signing.published().items()]
