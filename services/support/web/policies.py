"""By whose policy each public page is judged: a route names the RPCs that it sends, or the department does not start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crm.support.v1 import article_service_pb2
from flask import Flask

from chassis.rpc.service import policy_of

_SERVICE = article_service_pb2.DESCRIPTOR.services_by_name["ArticleService"]
_JUDGED = "judged_by"
View = Callable[..., Any]


def judged_by(*methods: str) -> Callable[[View], View]:
    """Declare the methods of the ArticleService that a page sends; none for one that only leads to another."""

    def declare(view: View) -> View:
        setattr(view, _JUDGED, methods)
        return view

    return declare


def check(app: Flask) -> None:
    """Refuse a route that declares nothing, and a method without a policy. Raises RuntimeError with the route."""
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if rule.endpoint == "static":  # files of the page's own, the same for everybody
            continue
        methods = getattr(view, _JUDGED, None)
        if methods is None:
            raise RuntimeError(f"the page {rule.rule} declares no RPC by whose policy it is judged; give it @judged_by(…)")
        for name in methods:
            policy_of(_SERVICE.methods_by_name[name])
