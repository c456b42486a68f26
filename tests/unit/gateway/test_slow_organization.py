"""A slow organization costs one request a short wait now and then, never every request: what was known holds meanwhile."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from crm.organization.v1 import session_service_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from graphql import GraphQLError

from chassis.rpc.errors import Unavailable
from gateway.operations.callers import Callers
from gateway.operations.keys import ApiKeys

KEY = "crm_key"


class Organization:
    """Answers as it is told to, and counts how often it was asked."""

    def __init__(self) -> None:
        self.answer: Any = None
        self.asked = 0
        self.channels = {"organization": self}

    async def read(self, *_: Any, **__: Any) -> Any:
        self.asked += 1
        if self.answer is None:
            raise Unavailable("organization", timeout=True)
        return self.answer


def token(seconds: float) -> session_service_pb2.ExchangeApiKeyResponse:
    return session_service_pb2.ExchangeApiKeyResponse(access_token="good", access_expire_time=Timestamp(seconds=int(time.time() + seconds)))


async def test_the_token_of_a_key_holds_to_its_end_while_the_organization_is_slow() -> None:
    organization = Organization()
    keys = ApiKeys(organization)  # type: ignore[arg-type]
    organization.answer = token(20)  # so near its end that the organization is asked again
    assert await keys.token(KEY, "r") == "good"
    organization.answer = None
    assert [await keys.token(KEY, "r") for _ in range(50)] == ["good"] * 50
    assert organization.asked == 2
    other = ApiKeys(organization)  # type: ignore[arg-type]
    with pytest.raises(GraphQLError) as refusal:  # not «your key is no good»
        await other.token(KEY, "r")
    assert (refusal.value.extensions or {})["code"] == "DEADLINE_EXCEEDED"


async def test_the_policy_is_asked_for_once_in_a_while_also_where_nobody_answers() -> None:
    organization = Organization()
    callers = Callers(organization)  # type: ignore[arg-type]
    context: Any = SimpleNamespace(token="t", request_id="r")
    assert [await callers._exploring(context) for _ in range(50)] == [frozenset()] * 50
    assert organization.asked == 1
