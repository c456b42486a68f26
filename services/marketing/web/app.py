"""The public page of unsubscribing: one button, without scripts and cookies, zh-CN and en; and the one click of mail programs (RFC 8058)."""

from __future__ import annotations

import secrets
from typing import Any

from crm.marketing.v1 import campaign_message_service_pb2
from flask import Flask, Response, abort, make_response, render_template, request

from chassis.kernel.errors import CrmError
from chassis.runtime.edge import HEADERS, RETRY_SECONDS, Asks, check, judged_by
from services.marketing.messages.unsubscribing import WayOut
from services.marketing.web.words import LANGUAGES, WORDS

SERVICE = campaign_message_service_pb2.DESCRIPTOR.services_by_name["CampaignMessageService"]


def build_app(department: Asks, way_out: WayOut) -> Flask:
    """The Flask app. `way_out` knows which addresses are its own."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 16 * 1024

    @app.get("/unsubscribe/<message_id>/<token>")
    @judged_by()
    def ask(message_id: str, token: str) -> Any:
        """Asks first and changes nothing: programs that look at the links of a mail must not unsubscribe its reader."""
        _known(message_id, token)
        return _page("ask")

    @app.post("/unsubscribe/<message_id>/<token>")
    @judged_by("UnsubscribeMessage")
    def unsubscribe(message_id: str, token: str) -> Any:
        _known(message_id, token)
        wish = campaign_message_service_pb2.UnsubscribeMessageRequest(request_id=secrets.token_hex(16), campaign_message_id=message_id)
        department.ask("UnsubscribeMessage", wish)  # twice is once
        return _page("done")

    def _known(message_id: str, token: str) -> None:
        if not way_out.is_known(message_id, token):
            abort(404)

    @app.errorhandler(CrmError)
    @app.errorhandler(TimeoutError)
    @app.errorhandler(500)
    def failed(error: Exception) -> Any:
        # The address was one of ours, so whatever was refused is nothing that the reader can mend.
        return _page("away"), 503

    @app.errorhandler(400)
    @app.errorhandler(404)
    @app.errorhandler(405)
    @app.errorhandler(413)
    def wrong(error: Any) -> Any:
        return _page("missing" if error.code == 404 else "wrong"), error.code

    @app.after_request
    def secure(response: Response) -> Response:
        response.headers.update(HEADERS)
        response.headers["Referrer-Policy"] = "no-referrer"  # the address is the right to unsubscribe
        response.headers["X-Robots-Tag"] = "noindex"
        if response.status_code == 503:
            response.headers["Retry-After"] = RETRY_SECONDS
        return response

    check(app, SERVICE)
    return app


def _page(key: str) -> Response:
    asked = request.args.get("lang", "")
    language = asked if asked in LANGUAGES else request.accept_languages.best_match(LANGUAGES) or "zh"
    other = "en" if language == "zh" else "zh"
    return make_response(render_template("unsubscribe.html", t=WORDS[language], lang=language, other=other, key=key))
