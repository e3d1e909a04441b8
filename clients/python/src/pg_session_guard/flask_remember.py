"""Remember-me cookies of Flask-Login hold no login time, so one more cookie beside them does."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from flask import Flask, Response, request, session
from flask_login.config import COOKIE_DURATION, COOKIE_HTTPONLY, COOKIE_NAME, COOKIE_SECURE
from flask_login.utils import decode_cookie, encode_cookie

from pg_session_guard.core.login_time import LOGIN_TIME_KEY

SESSION_ID_KEY = "guard_session"


class RememberedLogins:
    def __init__(self, app: Flask) -> None:
        self.config = app.config

    @property
    def name(self) -> str:
        return f"{self.config.get('REMEMBER_COOKIE_NAME', COOKIE_NAME)}_guard"

    @property
    def attributes(self) -> dict[str, Any]:
        """Those of the cookie beside it."""
        return {
            "domain": self.config.get("REMEMBER_COOKIE_DOMAIN"),
            "path": self.config.get("REMEMBER_COOKIE_PATH", "/"),
            "secure": self.config.get("REMEMBER_COOKIE_SECURE", COOKIE_SECURE),
            "httponly": self.config.get("REMEMBER_COOKIE_HTTPONLY", COOKIE_HTTPONLY),
            "samesite": self.config.get("REMEMBER_COOKIE_SAMESITE"),
        }

    def login_of(self, user_id: str) -> tuple[str | None, str | None]:
        """The login time and the session's own id of the login that is remembered, if it is this
        user's."""
        kept = decode_cookie(request.cookies.get(self.name, "|")) or ""
        login_at, _, rest = kept.partition(" ")
        session_id, _, remembered = rest.partition(" ")
        return (login_at, session_id or None) if remembered == user_id else (None, None)

    def forget(self) -> None:
        """As Flask-Login's own logout does."""
        if self.config.get("REMEMBER_COOKIE_NAME", COOKIE_NAME) in request.cookies:
            session["_remember"] = "clear"

    def keep(self, response: Response) -> Response:
        """Comes before Flask-Login's own, which takes its note out of the session."""
        note = session.get("_remember")
        login_at, user_id = session.get(LOGIN_TIME_KEY), session.get("_user_id")
        if note == "set" and login_at and user_id:
            seconds = session.get("_remember_seconds")
            duration = (
                seconds
                if seconds is not None
                else self.config.get("REMEMBER_COOKIE_DURATION", COOKIE_DURATION)
            )
            lasts = duration if isinstance(duration, timedelta) else timedelta(seconds=duration)
            response.set_cookie(
                self.name,
                encode_cookie(f"{login_at} {session.get(SESSION_ID_KEY) or ''} {user_id}"),
                expires=datetime.now(timezone.utc) + lasts,
                **self.attributes,
            )
        elif note == "clear" and self.name in request.cookies:
            response.delete_cookie(
                self.name, domain=self.attributes["domain"], path=self.attributes["path"]
            )
        return response
