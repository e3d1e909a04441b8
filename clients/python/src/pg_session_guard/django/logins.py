"""Each login, by whatever backend, remembers its time."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied

from pg_session_guard.core.login_time import LOGIN_TIME_KEY


def remember(request: Any, user: Any, **_: Any) -> None:
    from pg_session_guard.django.asking import start
    from pg_session_guard.django.conf import is_guarded, writing_connection

    if not hasattr(request, "session") or not is_guarded(writing_connection()):
        return
    # Another backend (single sign-on) has no password to read, so it may start the session here.
    login_at = user.__dict__.pop("session_guard_login_at", None) or start(user.pk)
    if login_at is None:
        request.session.flush()
        raise PermissionDenied
    request.session[LOGIN_TIME_KEY] = login_at
