"""RoleDefinition in the graph."""

from __future__ import annotations

from crm.organization.v1 import role_definition_pb2, role_definition_service_pb2

from gateway.graph.noun import Noun

ROLE_DEFINITION = Noun("organization", role_definition_service_pb2, role_definition_pb2.RoleDefinition)
