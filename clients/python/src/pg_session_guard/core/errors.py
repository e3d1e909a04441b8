"""What PostgreSQL says of an error, whichever driver hands it on."""

from __future__ import annotations

INSUFFICIENT_PRIVILEGE = "42501"


def sqlstate_of(error: BaseException | None) -> str | None:
    """SQLAlchemy and Django have the driver's error inside of their own."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
        if state:
            return str(state)
        error = getattr(error, "orig", None) or error.__cause__
    return None
