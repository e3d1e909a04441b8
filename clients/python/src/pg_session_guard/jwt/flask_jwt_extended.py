"""flask-jwt-extended, beside the guard of Flask: `protect_tokens(JWTManager(app), guard)`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from flask import Flask, abort, g, request_started
from flask_jwt_extended import get_jwt
from flask_jwt_extended.config import config

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

    def claims(self, identity: Any) -> dict[str, Any]:
        """What a token remembers, beside the app's own claims."""
        user_id = self.manager._user_identity_callback(identity)
        return {**(self._own_claims(identity) or {}), LOGIN_TIME_KEY: self._login_time_of(user_id)}

    def _login_time_of(self, user_id: object) -> str:
        """A login makes two tokens, and they are as old as each other. What is made of a token or
        of a session is as old as that: it could be revoked now. That it is a login all the same, as
        after a new password, the app says by begin_login."""
        started: dict[str, str] = g.setdefault("session_guard_started", {})
        if str(user_id) in started:
            return started[str(user_id)]
        if not self.guard.has_begun(user_id):
            made_of = _time_of_token(user_id) or self.guard.time_of_session(user_id)
            if made_of:
                return made_of
        login_at = self.guard._login_time_of(user_id)
        if login_at is None:
            abort(400, "Not authorized")  # FAB's API makes a 500 of any other.
        started[str(user_id)] = login_at
        return login_at

    def is_revoked(self, header: Any, token: dict[str, Any]) -> bool:
        return self._has_ended(token) or bool(self._own_blocklist(header, token))

    def _has_ended(self, token: dict[str, Any]) -> bool:
        """Asked before the token's user is read, which then makes no query."""
        kept = login_time.of_token(token)
        text = login_time.to_text(kept) if kept else None
        served = self.guard.check(str(token[config.identity_claim_key]), text)[1] is Answer.SERVE
        if not served:
            g.session_guard_ended = "bearer"
        return not served


def _time_of_token(user_id: object) -> str | None:
    """Of the request's own token, if there is one that the new one is made of."""
    token: dict[str, Any] = {}
    with suppress(RuntimeError):  # There is none in a login's request.
        token = get_jwt()
    is_the_same_user = str(token.get(config.identity_claim_key)) == str(user_id)
    if not token or not (token.get("type") == "refresh" or is_the_same_user):
        return None
    return login_time.to_text(login_time.of_token(token) or login_time.LONG_AGO)


def _own(loader: Any, name: str) -> Any:
    """Where two apps share a manager, what it has is the other's guard."""
    other = getattr(loader, "__self__", None)
    return getattr(other, name) if isinstance(other, GuardedTokens) else loader
