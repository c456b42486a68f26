"""The generated client in use: sign in, read page after page, add a customer, and put refusals beside their fields.

python use.py URL E-MAIL, with the password in CRM_PASSWORD.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator

from crm_client import CustomerCreateInput, CustomerFilter, TextCondition
from crm_client.crm import Crm
from crm_client.enums import CustomerKind
from crm_client.fragments import CustomerLine


async def signed_in(url: str, email: str, password: str) -> Crm:
    """A client with an access token; it lives five minutes, `sessionRefresh` gives the next one."""
    answer = (await Crm(url).sign_in(email=email, password=password)).session_create
    if answer.tokens is None:
        raise SystemExit("; ".join(error.message for error in answer.errors))
    return Crm(url, headers={"Authorization": f"Bearer {answer.tokens.access_token}", "Accept-Language": "zh-CN"})


async def customers(crm: Crm, beginning: str) -> AsyncIterator[CustomerLine]:
    """Every customer whose name begins so, a page after the other."""
    after: str | None = None
    while True:
        found = (await crm.customers(first=50, filter_=CustomerFilter(name=TextCondition(startsWith=beginning)), after=after)).customers
        if found is None:
            return  # the department is away: the errors of the answer say so
        for row in found.nodes:
            yield row
        if not found.page_info.has_next_page:
            return
        after = found.page_info.end_cursor


async def add(crm: Crm, name: str) -> dict[str, str]:
    """Adds a customer; what is wrong, by the field it belongs to."""
    answer = (await crm.customer_add(CustomerCreateInput(name=name, kind=CustomerKind.COMPANY))).customer_create
    return {".".join(error.path[1:]): error.message for error in answer.errors}


async def main() -> None:
    """Shows all of it once."""
    crm = await signed_in(sys.argv[1], sys.argv[2], os.environ["CRM_PASSWORD"])
    me = (await crm.me()).viewer
    print(me.name if me else "")
    print(await add(crm, ""))
    print(await add(crm, "客户端试验公司"))
    print([row.name async for row in customers(crm, "客户端")])


if __name__ == "__main__":
    asyncio.run(main())
