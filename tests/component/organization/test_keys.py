"""A new signing key while everybody works: no request fails, and the tokens are signed by it in the end."""

from __future__ import annotations

import asyncio

import pytest
from crm.common.v1 import access_service_pb2
from joserfc import jws

from chassis.access.link import SERVICE
from chassis.kernel.errors import CrmError
from services.organization.sessions.keys import ANNOUNCED
from tests.support.installation import PASSWORD, Installation

METHODS = ("ListCustomers", "ListOrders", "ListCampaigns", "ListTickets", "ListPeople")


def kid(token: str) -> str:
    return str(jws.extract_compact(token.encode()).headers()["kid"])


async def rotate(crm: Installation, token: str) -> access_service_pb2.RotateSigningKeyResponse:
    found: access_service_pb2.RotateSigningKeyResponse = await crm.channels["organization"].call(
        SERVICE, "RotateSigningKey", access_service_pb2.RotateSigningKeyRequest(), token=token
    )
    return found


async def test_keys_are_rotated_under_load_without_a_failed_request(crm: Installation) -> None:
    await crm.person("rotates", "COORDINATOR", password=True)
    session = await crm.ask("CreateSession", role="", email="rotates@example.com", password=PASSWORD)
    tokens, first, done = session.tokens, kid(session.tokens.access_token), 0
    answer = await rotate(crm, await crm.link.token())
    assert len(answer.keys) >= 2
    assert len((await rotate(crm, await crm.link.token())).keys) == len(answer.keys)  # announced once
    end = asyncio.get_running_loop().time() + ANNOUNCED.total_seconds() + 3
    while asyncio.get_running_loop().time() < end:
        tokens = (await crm.ask("RefreshSession", role="", refresh_token=tokens.refresh_token)).tokens
        await asyncio.gather(*(crm.ask(method, role=tokens.access_token) for method in METHODS))
        done += len(METHODS)
    assert kid(tokens.access_token) != first
    assert done > 50
    await crm.ask("ListCustomers", role=session.tokens.access_token)  # of the old key, still good


async def test_nobody_else_rotates_keys(crm: Installation) -> None:
    with pytest.raises(CrmError) as refused:
        await rotate(crm, crm.tokens["COORDINATOR"])
    assert refused.value.code == "NOT_ALLOWED"
