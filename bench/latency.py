"""From a committed write to its effect in another department: a won opportunity until it stands on the customer's timeline."""

from __future__ import annotations

import asyncio
import time
from statistics import quantiles

import httpx

_CREATE = 'mutation { customerCreate(input: {kind: COMPANY, name: "Latency GmbH"}) { customer { id } } }'
_NOTE = "mutation($i: TicketCreateInput!) { ticketCreate(input: $i) { ticket { id } errors { message } } }"
_TIMELINE = "query($id: ID!) { customer(id: $id) { timeline(first: 1) { nodes { recordId } } } }"


async def event_latency(url: str, token: str, writes: int) -> tuple[float, float]:
    """(p50, p99) in milliseconds, from the answer of a command in support to its entry in the customer department."""
    times = []
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30) as http:

        async def ask(query: str, **variables: object) -> dict[str, dict[str, dict[str, object]]]:
            found: dict[str, dict[str, dict[str, object]]] = (await http.post(url, json={"query": query, "variables": variables})).json()[
                "data"
            ]
            return found

        customer = (await ask(_CREATE))["customerCreate"]["customer"]["id"]
        for number in range(writes):
            seen = await ask(_TIMELINE, id=customer)
            before = seen["customer"]["timeline"]
            await ask(_NOTE, i={"customerId": customer, "subject": f"latency {number}", "channel": "WEB"})
            begun = time.perf_counter()
            while (await ask(_TIMELINE, id=customer))["customer"]["timeline"] == before:
                await asyncio.sleep(0.001)
            times.append((time.perf_counter() - begun) * 1000)
    cuts = quantiles(times, n=100)
    return cuts[49], cuts[98]
