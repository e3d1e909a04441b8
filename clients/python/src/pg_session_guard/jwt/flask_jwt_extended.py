"""flask-jwt-extended, beside the guard of Flask: `protect_tokens(JWTManager(app), guard)`."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from flask import abort, g
from flask_jwt_extended import get_jwt

from pg_session_guard.core import login_time
from pg_session_guard.core.answers import Answer
from pg_session_guard.core.login_time import LOGIN_TIME_KEY
from pg_session_guard.flask import SessionGuard


def protect_tokens(manager: Any, guard: SessionGuard) -> None:
    """Sets the loaders of additional claims and of the blocklist."""
    tokens = GuardedTokens(guard)
    manager.additional_claims_loader(tokens.claims)
    manager.token_in_blocklist_loader(tokens.is_revoked)


class GuardedTokens:
    def __init__(self, guard: SessionGuard) -> None:
        self.guard = guard

    def claims(self, user_id: object) -> dict[str, str]:
        """What a token remembers. A login makes two, and they are as old as each other."""
        with suppress(RuntimeError):  # There is no token in a login's request.
            token = get_jwt()
            if token.get("type") == "refresh":
                # What it is changed for is as old as that: it could be revoked now.
                kept = login_time.of_token(token)
                return {LOGIN_TIME_KEY: login_time.to_text(kept or login_time.LONG_AGO)}
        started = self._start_once(user_id)
        if started is None:
            abort(400, "Not authorized")  # FAB's API makes a 500 of any other.
        return {LOGIN_TIME_KEY: started}

    def _start_once(self, user_id: object) -> str | None:
        started: dict[str, str | None] = g.setdefault("session_guard_started", {})
        if str(user_id) not in started:
            started[str(user_id)] = self.guard.start(user_id)
        return started[str(user_id)]

    def is_revoked(self, _header: Any, token: dict[str, Any]) -> bool:
        """Asked before the token's user is read, which then makes no query."""
        kept = login_time.of_token(token)
        text = login_time.to_text(kept) if kept else None
        served = self.guard.check(str(token["sub"]), text)[1] is Answer.SERVE
        if not served:
            g.session_guard_ended = "bearer"
        return not served
