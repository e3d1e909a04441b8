"""Whom an event is about: subject identifiers (RFC 9493), and those of CAEP and RISC before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pg_session_guard.receivers.errors import INVALID_REQUEST, Refused

MAX_LENGTH = 2000
# Of each format, the members that say who it is.
MEMBERS = {
    "account": ("uri",),
    "did": ("url",),
    "email": ("email",),
    "id_token_claims": ("iss", "sub", "email"),
    "iss_sub": ("iss", "sub"),
    "opaque": ("id",),
    "phone_number": ("phone_number",),
    "uri": ("uri",),
}


@dataclass(frozen=True)
class Subject:
    """A user, as the issuer names one. `iss` has been checked."""

    format: str
    iss: str | None = None
    sub: str | None = None
    # The session at the provider.
    sid: str | None = None
    email: str | None = None
    id: str | None = None
    phone_number: str | None = None
    uri: str | None = None
    url: str | None = None

    NAMES = ("iss", "sub", "sid", "email", "id", "phone_number", "uri", "url")


def text_of(value: object, name: str) -> str:
    """Refuses what no database could keep, so that it is not sent again and again."""
    if isinstance(value, str) and 0 < len(value) <= MAX_LENGTH and "\0" not in value:
        try:
            value.encode()
        except UnicodeEncodeError:
            pass
        else:
            return value
    raise Refused(INVALID_REQUEST, f"{name} is not a text, or empty, or too long")


def read(identifier: object) -> tuple[Subject, ...]:
    """Several are names of the same user."""
    if not isinstance(identifier, Mapping):
        raise Refused(INVALID_REQUEST, "the subject is not an object")
    if _format_of(identifier) != "complex":
        return _users(identifier)
    user, session = identifier.get("user"), identifier.get("session")
    if user is not None:
        return _users(user)
    return () if session is None else _session(session)


def _format_of(identifier: Mapping[str, Any]) -> str | None:
    """`subject_type`, with a hyphen, is of the time before RFC 9493."""
    named = identifier.get("format", identifier.get("subject_type"))
    if isinstance(named, str):
        return named.lower().replace("-", "_")
    # Drafts of CAEP gave no format to a subject of several parts.
    return "complex" if any(isinstance(part, Mapping) for part in identifier.values()) else None


def _users(identifier: object) -> tuple[Subject, ...]:
    if not isinstance(identifier, Mapping):
        raise Refused(INVALID_REQUEST, "the subject is not an object")
    named = _format_of(identifier)
    if named == "aliases":
        aliases = identifier.get("identifiers")
        if not isinstance(aliases, list):
            raise Refused(INVALID_REQUEST, "aliases without identifiers")
        return tuple(
            subject
            for alias in aliases[:20]
            if isinstance(alias, Mapping) and _format_of(alias) != "aliases"
            for subject in _users(alias)
        )
    if named not in MEMBERS:
        return ()  # Valid, but of a kind that says nothing to this app.
    given = {name: text_of(identifier[name], name) for name in MEMBERS[named] if name in identifier}
    if not given or (named == "iss_sub" and len(given) < 2):
        raise Refused(INVALID_REQUEST, f"a subject of format {named} without its members")
    return (Subject(named, **given),)


def _session(identifier: object) -> tuple[Subject, ...]:
    if not isinstance(identifier, Mapping):
        raise Refused(INVALID_REQUEST, "the session is not an object")
    if "id" not in identifier:
        return ()
    return (Subject("session", sid=text_of(identifier["id"], "session")),)
