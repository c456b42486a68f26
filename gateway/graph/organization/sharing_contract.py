"""SharingContract in the graph."""

from __future__ import annotations

from crm.organization.v1 import sharing_contract_pb2, sharing_contract_service_pb2

from gateway.graph.noun import Noun

SHARING_CONTRACT = Noun("organization", sharing_contract_service_pb2, sharing_contract_pb2.SharingContract)
