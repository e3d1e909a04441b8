"""Bearer tokens: which claim has the login time, and how it is compared. For PyJWT, and whatever
else makes a dict of a token that it has verified.

    token = jwt.encode({"sub": str(user.id), **login_claims(login_at)}, KEY)
    login_at = login_time_of(jwt.decode(token, KEY, algorithms=["HS256"]))

The first `login_at` is what session_start gave: an adapter's `start` or `begin_login`. The second
one is for session_valid. It is not put into `iat`: that is cut to seconds, so just after a stamp it
lies before the epoch; and session_start may be ahead of the clock, which PyJWT refuses of an `iat`.
A token that is made of another takes over its claim.
"""

from __future__ import annotations

from pg_session_guard.core.login_time import LOGIN_TIME_KEY
from pg_session_guard.core.login_time import of_token as login_time_of


def login_claims(login_at: str) -> dict[str, str]:
    return {LOGIN_TIME_KEY: login_at}


__all__ = ["LOGIN_TIME_KEY", "login_claims", "login_time_of"]
