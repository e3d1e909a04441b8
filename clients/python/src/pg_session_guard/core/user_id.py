"""The user's id, as it is sent and kept: a text."""

from __future__ import annotations

from uuid import UUID


def to_text(user_id: object) -> str:
    """Refuses what is no id, such as the user itself: nobody has it as an id, so the login would be
    refused without a reason."""
    if isinstance(user_id, bool) or not isinstance(user_id, (str, int, UUID)):
        raise TypeError(f"give the user's id, such as user.id, and not a {type(user_id).__name__}")
    return str(user_id)


def is_nobodys(user_id: str) -> bool:
    """PostgreSQL has no text with a NUL, so nobody has such an id."""
    return "\0" in user_id
