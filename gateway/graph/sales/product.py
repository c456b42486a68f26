"""Product in the graph."""

from __future__ import annotations

from crm.sales.v1 import product_pb2, product_service_pb2

from gateway.graph.noun import Noun

PRODUCT = Noun("sales", product_service_pb2, product_pb2.Product)
