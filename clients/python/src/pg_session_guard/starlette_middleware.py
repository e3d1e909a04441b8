"""For apps that take the user's id from the session, and read no user: it asks at each request with
a session. Inside of SessionMiddleware, so it is added before that one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse

from pg_session_guard.core.answers import RouteKind, kind_of_route
from pg_session_guard.starlette import MESSAGE_KEY, SessionGuard

LEADS_ELSEWHERE = re.compile(r"(^|/)\.{1,2}(/|$)|[\\\0]|%(2e|2f|5c|00)", re.IGNORECASE)


class SessionGuardMiddleware:
    """`open_paths`: what is served without asking, such as static files and health probes.
    `/health` is this path, and all below `/health/`."""

    def __init__(self, app: Any, guard: SessionGuard, open_paths: Sequence[str] = ()) -> None:
        if isinstance(open_paths, str):
            raise TypeError("open_paths is a list of paths")
        self.app = app
        self.guard = guard
        self.open_paths = tuple(open_paths)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket") and not self._is_open(scope):
            request = HTTPConnection(scope)
            user_id = request.session.get(self.guard.user_key)
            try:
                if user_id is not None and not await self.guard.ask(
                    user_id, self.guard.login_at(request)
                ):
                    self._end(request)
            except HTTPException as error:
                if scope["type"] == "websocket":
                    await send({"type": "websocket.close", "code": 1013})
                    return
                await self._unavailable(request, error)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _is_open(self, scope: Any) -> bool:
        """What may lead elsewhere once somebody resolves it is not open."""
        path, raw_path = scope["path"], (scope.get("raw_path") or b"").decode("latin1")
        if LEADS_ELSEWHERE.search(path) or LEADS_ELSEWHERE.search(raw_path):
            return False
        return any(path == open_path or _is_below(path, open_path) for open_path in self.open_paths)

    def _end(self, request: HTTPConnection) -> None:
        """The request goes on as nobody's: the route may be open to all."""
        self.guard.tell_of_missing_login_time(request)
        request.session.clear()
        if self.guard.settings.message and kind_of_route(request.headers) is RouteKind.HTML:
            request.session[MESSAGE_KEY] = self.guard.settings.message

    def _unavailable(self, request: HTTPConnection, error: HTTPException) -> Any:
        if kind_of_route(request.headers) is RouteKind.HTML:
            return PlainTextResponse(error.detail, error.status_code, error.headers)
        return JSONResponse({"detail": error.detail}, error.status_code, error.headers)


def _is_below(path: str, folder: str) -> bool:
    """Not of `/` alone, which would be all."""
    return folder.strip("/") != "" and path.startswith(folder.rstrip("/") + "/")
