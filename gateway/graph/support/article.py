"""Article in the graph."""

from __future__ import annotations

from crm.support.v1 import article_pb2, article_service_pb2

from gateway.graph.noun import Noun

ARTICLE = Noun("support", article_service_pb2, article_pb2.Article)
