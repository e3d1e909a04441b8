"""The session at an OpenID provider: its `sid`, by which the provider ends it at each of its
apps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# In the session.
PROVIDER_SESSION_KEY = "guard_provider_session"
# Of token_valid and revoke_tokens.
PROVIDER_SESSION_SCOPE = "provider_session"


def subject_of(issuer: str, sid: str) -> str:
    """One provider's `sid` says nothing of another's."""
    return f"{issuer} {sid}"


def of_id_token(claims: Mapping[str, Any]) -> str | None:
    """What a session keeps of the claims of its ID token. None: the provider gives no `sid`."""
    issuer, sid = claims.get("iss"), claims.get("sid")
    if sid is None:
        return None
    if not isinstance(issuer, str) or not isinstance(sid, str):
        raise TypeError("give the claims of the ID token, with `iss` and `sid`")
    return subject_of(issuer, sid)
