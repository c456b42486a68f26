"""Pipeline in the graph."""

from __future__ import annotations

from crm.sales.v1 import pipeline_pb2, pipeline_service_pb2

from gateway.graph.noun import Noun

PIPELINE = Noun("sales", pipeline_service_pb2, pipeline_pb2.Pipeline)
