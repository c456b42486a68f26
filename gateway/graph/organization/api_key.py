"""ApiKey in the graph."""

from __future__ import annotations

from crm.organization.v1 import api_key_pb2, api_key_service_pb2

from gateway.graph.noun import Noun

API_KEY = Noun("organization", api_key_service_pb2, api_key_pb2.ApiKey)
