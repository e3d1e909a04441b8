"""Each login, by whatever backend, remembers its time.

A login in steps, such as with a one-time code, begins with its first: `begun_of(user)` of the user
that `authenticate` gave. The app keeps it in the session, and calls `continue_login(user, begun)`
before `login`.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied

from pg_session_guard.core.login_time import LOGIN_TIME_KEY

# Of the user, who is about to log in.
BEGUN = "session_guard_login_at"


def begun_of(user: Any) -> str | None:
    """When the login began. None: the backend has begun none."""
    begun: str | None = user.__dict__.get(BEGUN)
    return begun


def continue_login(user: Any, begun: str | None) -> None:
    """What has ended sessions since then ends this login."""
    from pg_session_guard.django.asking import is_valid

    setattr(user, BEGUN, begun if begun and is_valid(user.pk, begun) else None)


def remember(request: Any, user: Any, **_: Any) -> None:
    from pg_session_guard.django.asking import start
    from pg_session_guard.django.conf import is_guarded, writing_connection

    if not hasattr(request, "session") or not is_guarded(writing_connection()):
        return
    # Another backend (single sign-on) has no password to read, so it may start the session here.
    login_at = user.__dict__.pop(BEGUN) if BEGUN in user.__dict__ else start(user.pk)
    if login_at is None:
        request.session.flush()
        raise PermissionDenied
    request.session[LOGIN_TIME_KEY] = login_at
