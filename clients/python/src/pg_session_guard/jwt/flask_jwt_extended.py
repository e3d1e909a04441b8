"""flask-jwt-extended, beside the guard of Flask: `protect_tokens(JWTManager(app), guard)`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from flask import Flask, abort, g, request_started
from flask_jwt_extended import get_jwt

from pg_session_guard.core import login_time
from pg_session_guard.core.answers import Answer
from pg_session_guard.core.login_time import LOGIN_TIME_KEY
from pg_session_guard.flask import SessionGuard


def protect_tokens(manager: Any, guard: SessionGuard) -> None:
    """Sets the loaders of additional claims and of the blocklist. Those that the app sets, before
    or after, are called beside the guard's."""
    GuardedTokens(guard).take_over(manager)


class GuardedTokens:
    def __init__(self, guard: SessionGuard) -> None:
        self.guard = guard

    def take_over(self, manager: Any) -> None:
        self.manager = manager
        self.own_claims(manager._user_claims_callback)
        self.own_blocklist(manager._token_in_blocklist_callback)
        manager._user_claims_callback = self.claims
        manager._token_in_blocklist_callback = self.is_revoked
        manager.additional_claims_loader = self.own_claims
        manager.token_in_blocklist_loader = self.own_blocklist
        request_started.connect(self._at_request, self.guard.app, weak=False)

    def own_claims(self, loader: Callable[[Any], Any]) -> Callable[[Any], Any]:
        self._own_claims = _own(loader, "_own_claims")
        return loader

    def own_blocklist(self, loader: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        self._own_blocklist = _own(loader, "_own_blocklist")
        return loader

    def _at_request(self, _app: Flask, **_: Any) -> None:
        loaders = (self.manager._user_claims_callback, self.manager._token_in_blocklist_callback)
        if not all(
            isinstance(getattr(loader, "__self__", None), GuardedTokens) for loader in loaders
        ):
            raise RuntimeError(
                "no token is checked: another loader has taken the place of protect_tokens'."
                " Call protect_tokens(…) last"
            )

    def claims(self, user_id: object) -> dict[str, Any]:
        """What a token remembers, beside the app's own claims."""
        return {**(self._own_claims(user_id) or {}), **self._login_claims(user_id)}

    def _login_claims(self, user_id: object) -> dict[str, str]:
        """A login makes two tokens, and they are as old as each other."""
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

    def is_revoked(self, header: Any, token: dict[str, Any]) -> bool:
        return self._has_ended(token) or bool(self._own_blocklist(header, token))

    def _has_ended(self, token: dict[str, Any]) -> bool:
        """Asked before the token's user is read, which then makes no query."""
        kept = login_time.of_token(token)
        text = login_time.to_text(kept) if kept else None
        served = self.guard.check(str(token["sub"]), text)[1] is Answer.SERVE
        if not served:
            g.session_guard_ended = "bearer"
        return not served


def _own(loader: Any, name: str) -> Any:
    """Where two apps share a manager, what it has is the other's guard."""
    other = getattr(loader, "__self__", None)
    return getattr(other, name) if isinstance(other, GuardedTokens) else loader
