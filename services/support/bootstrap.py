"""Composition root of the support department: the only file that knows every part. Tests build the service with it too."""

from __future__ import annotations

from typing import Any

from a2wsgi import WSGIMiddleware
from crm.customer.v1 import contact_pb2, customer_pb2
from crm.sales.v1 import order_pb2

from chassis.rpc.channels import Channel
from chassis.rpc.remote import RemoteRecords
from chassis.runtime.department import Department
from chassis.runtime.edge import OwnDepartment
from chassis.runtime.foundation import Foundation
from services.support.articles import api as articles_api
from services.support.articles.store import STATISTICS, VOTES, Articles
from services.support.settings import Settings
from services.support.tickets import api as tickets_api
from services.support.tickets.actions import wait_ending
from services.support.tickets.store import LOADS, Replies, Tickets
from services.support.web.app import SERVICE, build_app


def build(settings: Settings) -> Department:
    """The department, not yet started."""
    base = Foundation.of("support", settings)
    tickets, replies, articles = Tickets(), Replies(), Articles()
    channel = Channel("customer", settings.customer_address, settings.identity)
    sales = Channel("sales", settings.sales_address, settings.identity)
    others = (
        RemoteRecords(channel, customer_pb2.Customer), RemoteRecords(channel, contact_pb2.Contact), RemoteRecords(sales, order_pb2.Order),
    )  # fmt: skip
    department = base.department(
        settings,
        services=[
            tickets_api.service(tickets, *others),
            tickets_api.replies_service(replies, tickets),
            articles_api.service(articles),
        ],
        callers=["organization", "customer", "marketing", "support"],  # support: its own public pages
        owners=[channel, sales],
    )
    department.indexes = {name: [] for name in (LOADS, VOTES, STATISTICS)}
    department.timers = [wait_ending(tickets)]
    own = OwnDepartment("support", SERVICE, base.link, settings.identity)

    async def open_door() -> None:
        own.open(settings.grpc_address, lambda: department.port)

    app: Any = WSGIMiddleware(build_app(own, settings.service_secret), workers=8)
    department.at_start = [open_door]
    department.web = (app, settings.web_address, settings.proxies)
    department.closing = [*department.closing, channel.close, sales.close, own.close]
    return department
