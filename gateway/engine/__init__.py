"""Compiled execution of GraphQL operations: the answers of graphql-core at the speed of the data. See README.md."""

from gateway.engine.engine import Engine, Operation
from gateway.engine.readings import Batch, Read, Readings, Shape

__all__ = ["Batch", "Engine", "Operation", "Read", "Readings", "Shape"]
