"""Loads the sample company through the departments' own batch RPCs, chunk by chunk in bounded memory, departments beside each other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from crm.common.v1 import criteria_pb2, outcome_pb2
from crm.customer.v1 import segment_service_pb2
from crm.organization.v1 import person_service_pb2
from crm.sales.v1 import opportunity_pb2

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import from_source
from cli.batches import Batches
from cli.engines import EngineError
from cli.plan import Plan
from cli.sample import files
from cli.sample.company import exchange_rates, fiscal_calendars
from cli.sample.customers import Life, Maker, year_end
from cli.sample.staff import Staff, articles, calendars, campaigns, catalogue, competitors, people, units
from cli.words import Progress

CHUNK = 500
# Within a department the order matters: what is referred to comes first.
_ORDER = (("customers", "contacts", "notes"), ("opportunities", "orders"), ("campaign_messages",), ("tickets", "ticket_replies"))
_PEOPLE = person_service_pb2.DESCRIPTOR.services_by_name["PersonService"]
_SEGMENTS = segment_service_pb2.DESCRIPTOR.services_by_name["SegmentService"]
Login = tuple[str, str]  # mail address and password
_REFUSED = outcome_pb2.UPSERT_RESULT_REFUSED


async def load_sample(
    plan: Plan, *, customers: int, seed: int, demo: Login | None = None, administrator: Login | None = None, until: datetime | None = None
) -> dict[str, int]:
    """Load `customers` customers of a seed; `demo` and `administrator` are the logins of one who works and one who makes people. Counts by
    resource.

    Killed in between, it can be run again: what is stored is found by its natural key.
    """
    batches = Batches(plan)
    counts: dict[str, int] = {}
    try:
        staff = Staff(seed)
        maker = Maker(staff, until or year_end(datetime.now(UTC)))
        await _company(batches, staff, maker, {"demo": demo, "administrator": administrator}, counts)
        progress = Progress("customers with their year", customers)
        for start in range(0, customers, CHUNK):
            life = Life()
            for number in range(start, min(start + CHUNK, customers)):
                maker.make(number, life)
            await asyncio.gather(*(_department(batches, life, resources, counts) for resources in _ORDER))
            if start == 0:
                lost = [
                    from_source("opportunities", one.source_key)
                    for one in life.records.get("opportunities", [])
                    if one.state == opportunity_pb2.OPPORTUNITY_STATE_LOST
                ]
                await _send(batches, "competitors", competitors(staff, lost), counts)
                await files.attach(batches, life, counts)
            progress.add(min(CHUNK, customers - start))
        progress.end()
    finally:
        await batches.close()
    return counts


async def _company(batches: Batches, staff: Staff, maker: Maker, logins: dict[str, Login | None], counts: dict[str, int]) -> None:
    await _send(batches, "work_calendars", calendars(staff), counts)
    await _send(batches, "departments", units(staff), counts)
    await _send(batches, "fiscal_calendars", fiscal_calendars(staff), counts)
    await _send(batches, "exchange_rates", exchange_rates(staff, maker.start.date(), maker.until.date()), counts)
    await _send(batches, "people", list(people(staff, *(login[0] if login else "" for login in logins.values()))), counts)
    for key, login in logins.items():
        if login:
            request = person_service_pb2.SetPasswordRequest(
                request_id=f"{key}-{staff.seed}-password", person_id=staff.id("people", key, 0), password=login[1]
            )
            await batches.call("organization", _PEOPLE, "SetPassword", request)
    await asyncio.sleep(0.5)  # the other departments hear of the people who will own what follows
    products, pipelines = catalogue(staff)
    await _send(batches, "products", products, counts)
    await _send(batches, "pipelines", pipelines, counts)
    await _send(batches, "campaigns", campaigns(staff, maker.start), counts)
    await _send(batches, "articles", articles(staff), counts)
    if logins["demo"]:
        await _segments(batches, staff)


async def _segments(batches: Batches, staff: Staff) -> None:
    """Two segments to begin with: key accounts and A customers that are being cared for; and who is new, which ends by time alone."""
    criteria, new = criteria_pb2.Criteria(), criteria_pb2.Criteria()
    for field, values in (("level", ("KEY", "A")), ("lifecycle", ("MAINTAIN",))):
        condition = criteria.all.items.add().condition
        condition.field, condition.operator = field, criteria_pb2.OPERATOR_IN
        for value in values:
            condition.values.add().text = value
    new.condition.field, new.condition.operator = "create_time", criteria_pb2.OPERATOR_GREATER_OR_EQUAL
    new.condition.values.add().relative_days = -90
    for key, name, wanted in (("segment", "重点维护客户", criteria), ("segment-new", "近90天新增客户", new)):
        request = segment_service_pb2.CreateSegmentRequest(
            request_id=f"sample-{staff.seed}-{key}", name=name, criteria=wanted, owner_id=staff.marketers[0]
        )
        await batches.call("customer", _SEGMENTS, "CreateSegment", request)


async def _department(batches: Batches, life: Life, resources: Iterable[str], counts: dict[str, int]) -> None:
    for resource in resources:
        await _send(batches, resource, life.records.get(resource, []), counts)


async def _send(batches: Batches, resource: str, records: list[Any], counts: dict[str, int]) -> None:
    try:
        outcomes = await batches.upsert(resource, records) if records else []
    except CrmError as error:
        raise EngineError(f"the sample company was not loaded: {error.message} ({resource}); start «xietong up» again to go on") from error
    refused = next((outcome for outcome in outcomes if outcome.result == _REFUSED), None)
    if refused:
        raise EngineError(f"sample {resource} {refused.source_key} was refused: {refused.error_message}")
    counts[resource] = counts.get(resource, 0) + len(records)
