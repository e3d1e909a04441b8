"""The login time, as a session or a token keeps it: exact, as text."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

# In the session, and in the claims of a token.
LOGIN_TIME_KEY = "guard_login_at"

# Before every epoch, so that it counts for nobody who was ever stamped.
LONG_AGO = datetime(1, 1, 2, tzinfo=timezone.utc)


def to_text(login_at: datetime) -> str:
    """With all its microseconds: many sessions keep whole seconds of a datetime."""
    return login_at.astimezone(timezone.utc).isoformat(timespec="microseconds")


def from_text(kept: object) -> datetime | None:
    """None where nothing is kept. What is no time is one of long ago."""
    if kept is None:
        return None
    try:
        parsed = datetime.fromisoformat(str(kept))
        return parsed if parsed.tzinfo else LONG_AGO
    except ValueError:
        return LONG_AGO


def of_token(claims: Mapping[str, Any]) -> datetime | None:
    """The login time of a token that has been verified.

    `iat` serves for tokens that were made before the package was there. It is not used for others:
    it is cut to whole seconds, so just after a stamp it lies before the epoch, and `session_start`
    may be ahead of the clock, which PyJWT refuses of an `iat`.
    """
    kept = claims.get(LOGIN_TIME_KEY)
    if kept is not None:
        return from_text(kept)
    issued = claims.get("iat")
    if not isinstance(issued, (int, float)):
        return None
    try:
        return datetime.fromtimestamp(issued, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return LONG_AGO


def now() -> datetime:
    """By the app's own clock: only where the database cannot be asked, and the app has chosen to go
    on."""
    return datetime.now(timezone.utc)
