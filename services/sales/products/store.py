"""Products in MongoDB."""

from __future__ import annotations

from crm.sales.v1 import product_pb2

from chassis.storage.records import Records


class Products(Records):
    """What can be sold."""

    def __init__(self) -> None:
        super().__init__(product_pb2.Product)
