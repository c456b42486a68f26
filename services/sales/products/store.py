"""Products in MongoDB."""

from __future__ import annotations

from crm.sales.v1 import product_pb2

from chassis.storage.records import Records, sorts_of


class Products(Records):
    """What can be sold."""

    def __init__(self) -> None:
        super().__init__(product_pb2.Product, "products", sorts=sorts_of(product_pb2.ProductOrder), unique={"code": "CODE_TAKEN"})
