"""ProductService."""

from __future__ import annotations

from crm.sales.v1 import product_events_pb2, product_service_pb2

from chassis.rpc.noun import Noun
from chassis.rpc.service import Service
from services.sales.products import model
from services.sales.products.store import Products


def service(products: Products) -> Service:
    """The handlers of products."""
    descriptor = product_service_pb2.DESCRIPTOR.services_by_name["ProductService"]
    return Noun(products, descriptor, product_events_pb2, model.check).serve()
