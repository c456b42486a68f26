"""ProductService."""

from __future__ import annotations

from chassis.rpc.noun import Noun
from chassis.rpc.service import Service
from services.sales.products import model
from services.sales.products.store import Products


def service(products: Products) -> Service:
    """The handlers of products."""
    return Noun(products, model.check).serve()
