"""Flask, after SessionGuard(app, …):

receive_logouts(app, "/backchannel-logout", receiver)
receive_events(app, "/security-events", receiver)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from flask import Flask, Response, request, request_started

from pg_session_guard.flask import SessionGuard
from pg_session_guard.receivers.receiver import MAX_BODY, Answer, FirstValue, Receiver, Request
from pg_session_guard.sqlalchemy import text_of


def receive_logouts(app: Flask, path: str, receiver: Receiver) -> None:
    """OpenID Connect Back-Channel Logout."""
    _add(app, path, receiver.receive_logout)


def receive_events(app: Flask, path: str, receiver: Receiver) -> None:
    """Security Event Tokens that are pushed."""
    _add(app, path, receiver.receive_event)


def _add(app: Flask, path: str, receive: Callable[..., Answer]) -> None:
    guard = app.extensions.get("session_guard")
    if not isinstance(guard, SessionGuard):
        raise RuntimeError("SessionGuard(app, …) comes first")

    def session_guard_receiver() -> Response:
        given = Request(
            request.content_type or "", _body(), request.headers.get("Authorization", "")
        )
        answer = receive(given, _first_value(guard), guard.settings)
        response = Response(answer.body, answer.status)
        response.headers.update(answer.headers)
        return response

    app.add_url_rule(
        path,
        f"session_guard_receiver:{path}",
        session_guard_receiver,
        methods=["POST"],
        provide_automatic_options=False,
    )

    def exempt(*_: Any, **__: Any) -> None:
        """From Flask-WTF's CSRFProtect: the token is what proves who sends. Before each request, as
        the app may put that on later."""
        csrf = app.extensions.get("csrf")
        if csrf is not None:
            csrf.exempt(session_guard_receiver)

    request_started.connect(exempt, app, weak=False)


def _body() -> bytes:
    body = b""
    while len(body) <= MAX_BODY and (chunk := request.stream.read(MAX_BODY + 1 - len(body))):
        body += chunk
    # Something of the app's own may have read it before: as it is, or as a form.
    body = body or request.get_data()
    return body or urlencode(list(request.form.items(multi=True))).encode()


def _first_value(guard: SessionGuard) -> FirstValue:
    def first_value(statement: str, values: dict[str, Any]) -> Any:
        with guard.engine.begin() as connection:
            return connection.execute(text_of(statement), values).scalar()

    return first_value
