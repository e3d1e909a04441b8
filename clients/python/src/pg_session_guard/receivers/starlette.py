"""Starlette and FastAPI:

receive_logouts(app, "/backchannel-logout", receiver, guard)
receive_events(app, "/security-events", receiver, guard)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response
from starlette.routing import Route

from pg_session_guard.receivers.receiver import MAX_BODY, Answer, Receiver, Request
from pg_session_guard.starlette import SessionGuard

# Of threads, beside those of the app: keys may have to be fetched, and the database be waited for.
AT_ONCE = 8


def receive_logouts(app: Any, path: str, receiver: Receiver, guard: SessionGuard) -> None:
    """OpenID Connect Back-Channel Logout."""
    _add(app, path, receiver.receive_logout, guard)


def receive_events(app: Any, path: str, receiver: Receiver, guard: SessionGuard) -> None:
    """Security Event Tokens that are pushed."""
    _add(app, path, receiver.receive_event, guard)


def _add(app: Any, path: str, receive: Callable[..., Answer], guard: SessionGuard) -> None:
    limiters: list[anyio.CapacityLimiter] = []

    def first_value(statement: str, values: dict[str, Any]) -> Any:
        return anyio.from_thread.run(guard.database.first_value, statement, values)

    async def session_guard_receiver(request: HTTPRequest) -> Response:
        if not limiters:
            limiters.append(anyio.CapacityLimiter(AT_ONCE))
        given = Request(
            request.headers.get("Content-Type", ""),
            await _body(request),
            request.headers.get("Authorization", ""),
        )
        answer = await anyio.to_thread.run_sync(
            lambda: receive(given, first_value, guard.settings), limiter=limiters[0]
        )
        return Response(answer.body, answer.status, dict(answer.headers))

    # Before what the app may have mounted at `/`.
    app.router.routes.insert(0, Route(path, session_guard_receiver, methods=["POST"]))


async def _body(request: HTTPRequest) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            break
    return bytes(body[: MAX_BODY + 1])
