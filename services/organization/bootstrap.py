"""Composition root of the organization: the only file that knows every part. Tests build the service with it too."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from crm.common.v1.audit_service_pb2 import RecordCheckpointRequest

from chassis.access.authority import Authority
from chassis.access.caller import Caller
from chassis.access.parts import FISCAL_CALENDARS, RATES, WORK_TIMES
from chassis.access.tokens import Signer
from chassis.messaging.reconciler import SERVICE as EVENTS
from chassis.messaging.reconciler import Ask
from chassis.observe.metrics import CommandMetrics, Metrics
from chassis.rpc.audits import DESCRIPTOR as AUDITS
from chassis.rpc.channels import Channel
from chassis.runtime.department import Department
from chassis.runtime.foundation import ASK_SECONDS
from chassis.storage import client
from chassis.storage.encryption import Vault
from services.organization.access import api as access_api
from services.organization.access import store as access_store
from services.organization.access.parts import LoadPart, Parts
from services.organization.api_keys import api as api_keys_api
from services.organization.api_keys.store import ApiKeys
from services.organization.departments import api as departments_api
from services.organization.departments.store import Departments
from services.organization.exchange_rates import api as exchange_rates_api
from services.organization.exchange_rates.store import ExchangeRates
from services.organization.exchange_rates.store import part as rates_part
from services.organization.fiscal_calendars import api as fiscal_calendars_api
from services.organization.fiscal_calendars.store import FiscalCalendars
from services.organization.fiscal_calendars.store import part as fiscal_part
from services.organization.identity_providers import api as identity_providers_api
from services.organization.identity_providers.credentials import INDEXES as PROVIDER_INDEXES
from services.organization.identity_providers.link import ProviderLink
from services.organization.identity_providers.store import IdentityProviders
from services.organization.identity_providers.workers import ProvidedRolesEnd
from services.organization.people import api as people_api
from services.organization.people.credentials import COLLECTION as CREDENTIALS
from services.organization.people.store import People
from services.organization.people.works import Works
from services.organization.preferences import api as preferences_api
from services.organization.preferences import store as preferences_store
from services.organization.roles import actions as role_actions
from services.organization.roles import api as roles_api
from services.organization.roles.store import Roles
from services.organization.sessions import api as sessions_api
from services.organization.sessions.keys import SigningKeys
from services.organization.sessions.provider_sign_in import ProviderSignIn
from services.organization.sessions.store import FAILURES, FAILURES_INDEXES, Sessions
from services.organization.settings import Settings
from services.organization.sharing_contracts import api as sharing_contracts_api
from services.organization.sharing_contracts.store import SharingContracts
from services.organization.webhook_deliveries import api as webhook_deliveries_api
from services.organization.webhook_deliveries import reactions as webhook_reactions
from services.organization.webhook_deliveries.link import WebhookLink
from services.organization.webhook_deliveries.store import WebhookDeliveries
from services.organization.webhook_deliveries.workers import WebhookSender
from services.organization.webhook_endpoints import api as webhook_endpoints_api
from services.organization.webhook_endpoints.credentials import SECRETS as WEBHOOK_SECRETS
from services.organization.webhook_endpoints.store import WebhookEndpoints
from services.organization.webhook_receipts import api as webhook_receipts_api
from services.organization.webhook_receipts.actions import Intake
from services.organization.webhook_receipts.store import COUNTS, COUNTS_INDEX, WebhookReceipts
from services.organization.webhook_sources import api as webhook_sources_api
from services.organization.webhook_sources.store import WebhookSources
from services.organization.work_calendars import actions as work_calendar_actions
from services.organization.work_calendars import api as work_calendars_api
from services.organization.work_calendars import store as work_calendars_store
from services.organization.work_calendars.store import WorkCalendars


def build(settings: Settings) -> Department:
    """The department, not yet started."""
    metrics = Metrics()
    database = client.connect(settings.mongo_uri, f"{settings.database_prefix}_organization", [CommandMetrics(metrics)])
    people, departments, sessions, roles, api_keys, signer = People(), Departments(), Sessions(), Roles(), ApiKeys(), Signer()
    providers, provider_link = IdentityProviders(), ProviderLink(destinations=settings.destinations)
    contracts, endpoints, deliveries = SharingContracts(), WebhookEndpoints(), WebhookDeliveries()
    sources, receipts = WebhookSources(), WebhookReceipts()
    calendars = WorkCalendars()
    channels = {name: Channel(name, address, settings.identity) for name, address in settings.owners.items()}

    parts: dict[str, LoadPart] = {
        RATES.name: lambda database: rates_part(database, settings.base_currency, department.own_call("rates").today),
        FISCAL_CALENDARS.name: fiscal_part,
        WORK_TIMES.name: work_calendars_store.plans,
    }
    vault = Vault(database, settings.masters)
    signing = SigningKeys(database, vault, signer, timedelta(hours=settings.key_hours))

    async def keys() -> Mapping[str, bytes]:
        return signing.published()

    async def begin() -> None:
        await signing.load()
        await access_store.begin(database, parts)
        await authority.refresh()
        await role_actions.deliver(roles, department.own_call)
        await work_calendar_actions.deliver(calendars, department.own_call)

    def own_token() -> str:
        return signer.sign(Caller("service-organization", frozenset(("service-organization",))))[0]

    async def deliver(checkpoint: str, public_key: bytes) -> None:
        request = RecordCheckpointRequest(checkpoint=checkpoint, public_key=public_key)
        await channels["customer"].call(AUDITS, "RecordCheckpoint", request, token=own_token())

    def asking(channel: Channel) -> Ask:
        async def ask(method: str, request: Any) -> Any:
            return await channel.call(EVENTS, method, request, token=own_token(), seconds=ASK_SECONDS)

        return ask

    link = WebhookLink(settings.destinations)
    sender = WebhookSender(endpoints, deliveries, link, lambda method: department.own_call(method))
    directory = partial(access_store.answer, database, Parts(parts), owner_sees_all=settings.owner_sees_all)
    authority = Authority(directory, keys)
    department = Department(
        name="organization",
        settings=settings,
        authority=authority,
        metrics=metrics,
        database=database,
        vault=vault,
        services=[
            people_api.service(people, departments, calendars, roles, sessions, Works(channels, own_token)),
            departments_api.service(departments, calendars),
            roles_api.service(roles),
            sharing_contracts_api.service(contracts, departments),
            sessions_api.service(sessions, people, api_keys, signer, ProviderSignIn(providers, provider_link, people, sessions)),
            identity_providers_api.service(providers, departments, roles, provider_link.destinations),
            api_keys_api.service(api_keys, roles, departments),
            webhook_endpoints_api.service(endpoints, deliveries, settings.destinations),
            webhook_deliveries_api.service(deliveries),
            webhook_sources_api.service(sources, roles, departments),
            webhook_receipts_api.service(receipts),
            webhook_receipts_api.intake_service(Intake(sources, receipts, signer, channels)),
            access_api.service(signer, signing, settings.secrets, directory),
            exchange_rates_api.service(ExchangeRates(), settings.base_currency),
            fiscal_calendars_api.service(FiscalCalendars(), departments),
            work_calendars_api.service(calendars, people, departments),
            preferences_api.service(),
        ],
        callers=frozenset(("gateway", "cli", "customer", "sales", "marketing", "support")),
        indexes={name: [] for name in (CREDENTIALS, access_store.META, "signing_keys", WEBHOOK_SECRETS)}
        | {FAILURES: FAILURES_INDEXES, COUNTS: [COUNTS_INDEX], preferences_store.COLLECTION: preferences_store.INDEXES}
        | PROVIDER_INDEXES,
        at_start=[begin],
        reactions=webhook_reactions.reactions(endpoints, deliveries, ("organization", *channels)),
        owners={name: asking(channel) for name, channel in channels.items()},
        workers=[signing.run],
        alone=[ProvidedRolesEnd(providers, people, lambda method: department.own_call(method)).run, sender.run],
        deliver=deliver,
        closing=[provider_link.close, link.close, *(channel.close for channel in channels.values())],
    )
    return department
