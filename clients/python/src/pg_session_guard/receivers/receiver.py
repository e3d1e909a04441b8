"""One issuer's tokens, and what comes of them. Knows no framework: each gives it a body, and what
runs a statement."""

from __future__ import annotations

import hmac
import inspect
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from pg_session_guard.core.answers import NO_STORE
from pg_session_guard.core.errors import cannot_ask, sqlstate_of
from pg_session_guard.core.settings import Settings
from pg_session_guard.core.user_id import to_text
from pg_session_guard.receivers import tokens
from pg_session_guard.receivers.errors import (
    AUTHENTICATION_FAILED,
    INVALID_REQUEST,
    Refused,
    Unavailable,
)
from pg_session_guard.receivers.keys import KEY_TYPES, KeySet
from pg_session_guard.receivers.statements import REPEATED, end_statement, users_statement
from pg_session_guard.receivers.subjects import Subject, read, text_of

log = logging.getLogger("pg_session_guard")

MAX_BODY = 64 * 1024
SESSION_REVOKED = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
ACCOUNT_DISABLED = "https://schemas.openid.net/secevent/risc/event-type/account-disabled"
ENDING_EVENTS = (
    SESSION_REVOKED,
    ACCOUNT_DISABLED,
    "https://schemas.openid.net/secevent/risc/event-type/account-purged",
    "https://schemas.openid.net/secevent/risc/event-type/sessions-revoked",
)

PRIVILEGE = (
    "the app's role ends sessions here, so it needs UPDATE on the users table, and"
    " GRANT USAGE ON SCHEMA session_guard TO app;"
    " GRANT EXECUTE ON FUNCTION session_guard.revoke_tokens(text, text, text),"
    " session_guard.revoke_sessions(text, text, regclass) TO app"
)

# Runs a statement in a transaction of its own, and gives its first value.
FirstValue = Callable[[str, dict[str, Any]], Any]


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    content_type: str
    body: bytes
    authorization: str = ""


@dataclass(frozen=True)
class Ending:
    reason: str
    # Names of the same user.
    subjects: tuple[Subject, ...]

    @property
    def is_of_session_alone(self) -> bool:
        return any(subject.sid is not None and subject.sub is None for subject in self.subjects)


class Receiver:
    """`user_ids`: whose sessions end, all of them. A query with parameters such as `%(sub)s`, or a
    function of a Subject; of no, one, or several ids. A logout token may have no `sub` but a `sid`,
    the session at the provider: it is refused, unless the query or the function says whose it is.

    `authorization`: what the header Authorization of a pushed event must be.

    `subject_issuers`: other issuers whose accounts this one may speak of.
    """

    def __init__(
        self,
        issuer: str,
        *,
        audience: str | Sequence[str],
        jwks_uri: str,
        user_ids: str | Callable[[Subject], Any],
        algorithms: Iterable[str] = ("RS256", "PS256", "ES256", "EdDSA"),
        max_age: float | None = None,
        clock_skew: float = 60,
        authorization: str | None = None,
        subject_issuers: Iterable[str] = (),
        ending_events: Iterable[str] = ENDING_EVENTS,
    ) -> None:
        accepted = tuple(algorithms)
        if isinstance(algorithms, str) or not accepted or set(accepted) - KEY_TYPES.keys():
            raise ValueError(f"algorithms are some of {', '.join(KEY_TYPES)}")
        if not issuer or not audience:
            raise ValueError("a receiver needs an issuer and an audience")
        if inspect.iscoroutinefunction(user_ids):
            raise TypeError("user_ids is a function that waits by itself, and not an async one")
        if isinstance(subject_issuers, str) or isinstance(ending_events, str):
            raise TypeError("subject_issuers and ending_events are lists")
        self.issuer = issuer
        self.authorization = authorization
        self.subject_issuers = {issuer, *subject_issuers}
        self.ending_events = frozenset(ending_events)
        self.user_ids = user_ids
        self.query = users_statement(user_ids) if isinstance(user_ids, str) else None
        keys = KeySet(jwks_uri)
        self.verifier = tokens.Verifier(issuer, audience, accepted, keys, max_age, clock_skew)

    # --- OpenID Connect Back-Channel Logout 1.0 ---

    def receive_logout(
        self, request: Request, first_value: FirstValue, settings: Settings
    ) -> Answer:
        try:
            claims = self.verifier.claims_of(_logout_token_of(request), tokens.LOGOUT)
            tokens.check_logout(claims)
            self._end(claims, [self._ending_of_logout(claims)], first_value, settings)
        except Refused as error:
            self._tell(error)
            body = {"error": INVALID_REQUEST, "error_description": error.description}
            return _json(400, body)
        except Unavailable as error:
            log.warning("a logout token waits: %s", error)
            body = {"error": "temporarily_unavailable", "error_description": "try again later"}
            return _json(503, body, {"Retry-After": str(error.retry_after)})
        return Answer(200, headers=NO_STORE)

    def _ending_of_logout(self, claims: Mapping[str, Any]) -> Ending:
        given = {name: text_of(claims[name], name) for name in ("sub", "sid") if name in claims}
        return Ending("back-channel logout", (Subject("iss_sub", iss=self.issuer, **given),))

    # --- Security Event Tokens ---

    def receive_event(
        self, request: Request, first_value: FirstValue, settings: Settings
    ) -> Answer:
        try:
            self._authenticate(request)
            claims = self.verifier.claims_of(_event_token_of(request), tokens.EVENT)
            endings = self._endings_of_event(claims)
            if endings:
                self._end(claims, endings, first_value, settings)
        except Refused as error:
            self._tell(error)
            body = {"err": error.code, "description": error.description}
            return _json(400, body, {"Content-Language": "en"})
        except Unavailable as error:
            log.warning("a security event waits: %s", error)
            headers = {"Retry-After": str(error.retry_after), **NO_STORE}
            return Answer(503, headers=headers)
        return Answer(202, headers=NO_STORE)

    def _authenticate(self, request: Request) -> None:
        if self.authorization is not None and not hmac.compare_digest(
            request.authorization.encode("utf-8", "replace"), self.authorization.encode()
        ):
            raise Refused(AUTHENTICATION_FAILED, "the header Authorization is wrong")

    def _endings_of_event(self, claims: Mapping[str, Any]) -> list[Ending]:
        """None of an event of another kind, such as a stream's verification: it is received."""
        endings = []
        for event, payload in claims["events"].items():
            if event not in self.ending_events:
                continue
            if not isinstance(payload, Mapping):
                raise Refused(INVALID_REQUEST, "the event's payload is not an object")
            identifier = claims.get("sub_id", payload.get("subject"))
            if identifier is None:
                identifier = {"format": "iss_sub", "iss": claims["iss"], "sub": claims.get("sub")}
            endings.append(Ending(event.rpartition("/")[2], read(identifier)))
        return endings

    # --- Both ---

    def _end(
        self,
        claims: Mapping[str, Any],
        endings: Sequence[Ending],
        first_value: FirstValue,
        settings: Settings,
    ) -> None:
        user_ids: set[str] = set()
        for ending in endings:
            found = self._users_of(ending.subjects, first_value)
            if not found and ending.is_of_session_alone:
                raise Refused(
                    INVALID_REQUEST, "the subject is a session, and nobody's that is known"
                )
            if not found:
                # Who it is stays at the provider, which knows the token by its jti.
                formats = ", ".join(subject.format for subject in ending.subjects)
                told = (ending.reason, formats or "none", claims["jti"])
                log.warning("a %s is about nobody known: format %s, jti %a", *told)
            user_ids |= found
        reasons = ", ".join(dict.fromkeys(ending.reason for ending in endings))
        values = {
            "token": f"{self.issuer} {claims['jti']}",
            "reason": f"{reasons} by {self.issuer}",
            # In an order, so that two tokens do not wait for each other.
            "user_ids": sorted(user_ids),
            "lock_timeout": settings.lock_timeout_text,
        }
        if settings.users:
            values["users"] = settings.users
        try:
            ended = first_value(end_statement(settings.users), values)
        except Exception as error:  # Each driver has its own.
            _hide_parameters(error)
            log.exception(cannot_ask(error, privilege=PRIVILEGE))
            raise Unavailable("the database gives no answer") from error
        if ended is None:
            raise Unavailable("pg_session_guard refuses everybody, so it cannot say what is new")
        if ended == REPEATED:
            log.info("a token was received before: %a", claims["jti"])
        else:
            log.info("a %s ended the sessions of %d", reasons, ended)

    def _users_of(self, subjects: Sequence[Subject], first_value: FirstValue) -> set[str]:
        for subject in subjects:
            if subject.iss is not None and subject.iss not in self.subject_issuers:
                continue
            try:
                found = self._look_up(subject, first_value)
            except Exception as error:
                if (sqlstate_of(error) or "").startswith("22"):
                    continue  # Such as a text that is no UUID: nobody has it.
                _hide_parameters(error)
                log.exception("cannot look up the user of a security event")
                raise Unavailable("the user cannot be looked up") from error
            if found:
                return found
        return set()

    def _look_up(self, subject: Subject, first_value: FirstValue) -> set[str]:
        if self.query:
            statement, names = self.query
            found = first_value(statement, {name: getattr(subject, name) for name in names})
        else:
            assert callable(self.user_ids)  # noqa: S101
            found = self.user_ids(subject)
        several = isinstance(found, (list, tuple, set, frozenset))
        return {to_text(each) for each in (found if several else [found]) if each is not None}

    def _tell(self, error: Refused) -> None:
        """Anybody can send what is refused, so it is no warning."""
        log.info("a token for %s was refused: %s", self.issuer, error.description)


def _hide_parameters(error: Exception) -> None:
    """SQLAlchemy would tell in the log whom it is about."""
    if hasattr(error, "hide_parameters"):
        error.hide_parameters = True


def _json(status: int, body: Mapping[str, str], more: Mapping[str, str] | None = None) -> Answer:
    headers = {"Content-Type": "application/json", **NO_STORE, **(more or {})}
    return Answer(status, json.dumps(body).encode(), headers)


def _text_of_body(request: Request, content_type: str) -> str:
    if request.content_type.partition(";")[0].strip().lower() != content_type:
        raise Refused(INVALID_REQUEST, f"the content type is not {content_type}")
    if len(request.body) > MAX_BODY:
        raise Refused(INVALID_REQUEST, "the body is too long")
    try:
        return request.body.decode("ascii")
    except UnicodeDecodeError as error:
        raise Refused(INVALID_REQUEST, "the body is not ASCII") from error


def _logout_token_of(request: Request) -> str:
    text = _text_of_body(request, "application/x-www-form-urlencoded")
    try:
        fields = parse_qsl(text, keep_blank_values=True, max_num_fields=20)
    except ValueError as error:
        raise Refused(INVALID_REQUEST, "the body is not a form") from error
    found = [value for name, value in fields if name == "logout_token"]
    if len(found) != 1:
        raise Refused(INVALID_REQUEST, "the form has no logout_token, or several")
    return found[0]


def _event_token_of(request: Request) -> str:
    return _text_of_body(request, "application/secevent+jwt").strip()
