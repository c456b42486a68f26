"""Composition root of the sales department: the only file that knows every part. Tests build the service with it too."""

from __future__ import annotations

from crm.customer.v1 import contact_pb2, customer_pb2

from chassis.rpc.channels import Channel
from chassis.rpc.remote import RemoteRecords
from chassis.runtime.department import Department
from chassis.runtime.foundation import Foundation
from chassis.runtime.merging import Place
from chassis.storage.aliases import index_of_alias
from services.sales.opportunities import api as opportunities_api
from services.sales.opportunities.store import Opportunities
from services.sales.orders import api as orders_api
from services.sales.orders.migrations import payable_amounts
from services.sales.orders.store import TOTALS, TOTALS_INDEX, Orders
from services.sales.pipelines import api as pipelines_api
from services.sales.pipelines.store import Pipelines
from services.sales.products import api as products_api
from services.sales.products.store import Products
from services.sales.settings import Settings


def build(settings: Settings) -> Department:
    """The department, not yet started."""
    base = Foundation.of("sales", settings)
    products, pipelines, opportunities, orders = Products(), Pipelines(), Opportunities(), Orders()
    channel = Channel("customer", settings.customer_address, settings.identity)
    customers = RemoteRecords(channel, customer_pb2.Customer)
    contacts = RemoteRecords(channel, contact_pb2.Contact)
    department = base.department(
        settings,
        services=[
            products_api.service(products),
            pipelines_api.service(pipelines),
            opportunities_api.service(opportunities, pipelines, products, customers, contacts),
            orders_api.service(orders, opportunities, products, customers),
        ],
        callers=["organization", "customer", "marketing", "support"],
        owners=[channel],
    )
    department.indexes = {TOTALS: [TOTALS_INDEX, index_of_alias("customer_id")]}
    department.places = [Place(TOTALS)]
    department.migrations = [payable_amounts(orders)]
    department.closing = [*department.closing, channel.close]
    return department
