"""Composition root of the marketing department: the only file that knows every part. Tests build the service with it too."""

from __future__ import annotations

from typing import Any

from a2wsgi import WSGIMiddleware
from crm.customer.v1 import segment_pb2

from chassis.rpc.channels import Channel
from chassis.rpc.remote import RemoteRecords
from chassis.runtime.department import Department
from chassis.runtime.edge import OwnDepartment
from chassis.runtime.foundation import Foundation
from services.marketing.campaigns import api as campaigns_api
from services.marketing.campaigns.actions import launching
from services.marketing.campaigns.store import Campaigns
from services.marketing.competitors import api as competitors_api
from services.marketing.competitors.store import Competitors
from services.marketing.messages import api as messages_api
from services.marketing.messages.asked import Departments
from services.marketing.messages.audience import Audience
from services.marketing.messages.mail import Mailer
from services.marketing.messages.migrations import steps
from services.marketing.messages.sender import Sender
from services.marketing.messages.store import SUPPRESSIONS, Messages
from services.marketing.messages.unsubscribing import WayOut
from services.marketing.settings import Settings
from services.marketing.web.app import SERVICE, build_app


def build(settings: Settings) -> Department:
    """The department, not yet started."""
    base = Foundation.of("marketing", settings)
    campaigns = Campaigns()
    messages = Messages(campaigns)
    channel = Channel("customer", settings.customer_address, settings.identity)
    sales = Channel("sales", settings.sales_address, settings.identity)
    segments = RemoteRecords(channel, segment_pb2.Segment)
    department = base.department(
        settings,
        services=[
            campaigns_api.service(campaigns, segments),
            messages_api.service(messages),
            competitors_api.service(Competitors(), sales),
        ],
        callers=["organization", "customer", "marketing"],  # marketing: its own public page
        owners=[channel],
    )
    support = Channel("support", settings.support_address, settings.identity)
    asked = Departments(channel, support, base.link)
    way_out = WayOut(settings.unsubscribe_url, settings.service_secret)
    mailer = Mailer(settings.smtp_url, settings.mail_sender)
    department.alone = [
        *department.alone,
        Audience(campaigns, messages, asked, department.own_call).run,
        Sender(campaigns, messages, asked, mailer, way_out, department.own_call).run,
    ]
    department.indexes = {SUPPRESSIONS: []}
    department.timers = [launching(campaigns)]
    own = OwnDepartment("marketing", SERVICE, base.link, settings.identity)

    async def open_door() -> None:
        own.open(settings.grpc_address, lambda: department.port)

    app: Any = WSGIMiddleware(build_app(own, way_out), workers=4)
    department.at_start = [open_door]
    department.web = (app, settings.web_address, settings.proxies)
    department.migrations = steps(campaigns, messages)
    department.closing = [*department.closing, channel.close, sales.close, support.close, own.close]
    return department
