"""ApiKeyService."""

from __future__ import annotations

from functools import partial
from typing import Any

from crm.organization.v1 import api_key_pb2, api_key_service_pb2

from chassis.rpc.call import Call
from chassis.rpc.documents import to_document, to_message
from chassis.rpc.handlers import reads, writes
from chassis.rpc.service import Service
from services.organization.api_keys import actions
from services.organization.api_keys.store import ApiKeys
from services.organization.departments.store import Departments
from services.organization.roles.store import Roles

DESCRIPTOR = api_key_service_pb2.DESCRIPTOR.services_by_name["ApiKeyService"]


def service(keys: ApiKeys, roles: Roles, departments: Departments) -> Service:
    """The handlers of API keys."""

    async def create(call: Call, request: Any) -> Any:
        key, secret = await actions.create(keys, roles, departments, call, to_document(request))
        message: Any = to_message(key, api_key_pb2.ApiKey.DESCRIPTOR)
        return api_key_service_pb2.CreateApiKeyResponse(api_key=message, secret=secret)

    handlers = reads(keys, DESCRIPTOR) | {
        "CreateApiKey": create,
        "RevokeApiKey": writes(DESCRIPTOR, "RevokeApiKey", partial(actions.revoke, keys)),
    }
    return Service(DESCRIPTOR, handlers, keys.duplicate_codes, keys)
