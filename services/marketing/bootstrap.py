"""Composition root of the marketing department: the only file that knows every part. Tests build the service with it too."""

from __future__ import annotations

from crm.customer.v1 import segment_pb2

from chassis.rpc.channels import Channel
from chassis.rpc.remote import RemoteRecords
from chassis.runtime.department import Department
from chassis.runtime.foundation import Foundation
from services.marketing.campaigns import api as campaigns_api
from services.marketing.campaigns.actions import launching
from services.marketing.campaigns.store import Campaigns
from services.marketing.competitors import api as competitors_api
from services.marketing.competitors.store import Competitors
from services.marketing.messages import api as messages_api
from services.marketing.messages.mail import Mailer
from services.marketing.messages.store import Messages
from services.marketing.messages.workers import Audience, CustomerDepartment, Sender
from services.marketing.settings import Settings


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
        callers=["organization", "customer"],
        owners=[channel],
    )
    asked = CustomerDepartment(channel, base.link)
    mailer = Mailer(settings.smtp_url, settings.mail_sender)
    department.alone = [
        Audience(campaigns, messages, asked, department.own_call).run,
        Sender(campaigns, messages, asked, mailer, department.own_call).run,
    ]
    department.timers = [launching(campaigns)]
    department.closing = [*department.closing, channel.close, sales.close]
    return department
