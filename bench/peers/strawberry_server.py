"""The same schema as Strawberry serves it by itself: `python -m bench.peers.strawberry_server PORT [--caches]`."""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from starlette.requests import Request
from strawberry.asgi import GraphQL
from strawberry.extensions import ParserCache, ValidationCache

from gateway.departments.clients import Clients
from gateway.departments.context import Context
from gateway.departments.live import Live
from gateway.graph import schema
from gateway.settings import Settings


class Server(GraphQL[Any, Any]):
    """Strawberry's own view; a context a request."""

    clients: Clients

    async def get_context(self, request: Any, response: Any) -> Any:
        """As the gateway makes it."""
        if not hasattr(self, "clients"):
            self.clients = Clients(Settings.from_env())
        token = request.headers.get("authorization", "").removeprefix("Bearer ") if isinstance(request, Request) else ""
        return Context(self.clients, Live(), token)


if __name__ == "__main__":
    extensions = [ParserCache, ValidationCache] if "--caches" in sys.argv else []
    uvicorn.run(Server(schema.build(extensions)), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", loop="uvloop")
