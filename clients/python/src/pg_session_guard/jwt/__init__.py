"""Bearer tokens: which claim has the login time, and how it is compared. For PyJWT, and whatever
else makes a dict of a token that it has verified.

    token = jwt.encode({"sub": str(user.id), **login_claims(login_at)}, KEY)
    login_at = login_time_of(jwt.decode(token, KEY, algorithms=["HS256"]))

The first `login_at` is what session_start gave: an adapter's `start` or `begin_login`. The second
one is for session_valid. It is not put into `iat`: that is cut to seconds, so just after a stamp it
lies before the epoch; and session_start may be ahead of the clock, which PyJWT refuses of an `iat`.
A token that is made of another, or of a session, is as old as that:
`login_claims(login_time_of(claims))`. What has no time, as a session from before the guard, must
not get that of the new token's `iat`.
"""

from __future__ import annotations

from datetime import datetime

from pg_session_guard.core.login_time import LOGIN_TIME_KEY, LONG_AGO, to_text
from pg_session_guard.core.login_time import of_token as login_time_of


def login_claims(login_at: str | datetime | None) -> dict[str, str]:
    login_at = login_at or LONG_AGO
    return {LOGIN_TIME_KEY: login_at if isinstance(login_at, str) else to_text(login_at)}


__all__ = ["LOGIN_TIME_KEY", "login_claims", "login_time_of"]
