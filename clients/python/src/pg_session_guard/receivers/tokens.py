"""What a token must be: first by its header and signature, then by its claims."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt
from jwt import exceptions

from pg_session_guard.receivers.errors import (
    AUTHENTICATION_FAILED,
    INVALID_AUDIENCE,
    INVALID_ISSUER,
    INVALID_KEY,
    INVALID_REQUEST,
    Refused,
)
from pg_session_guard.receivers.keys import KeySet
from pg_session_guard.receivers.subjects import text_of

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
# What PyJWT and json raise of claims that are of another type, too deep, or too large.
MALFORMED = (exceptions.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Kind:
    """`type` is the `typ` that the standard recommends. Without one, or with the `JWT` that many
    providers write, the claims tell the token from an ID token or an access token."""

    type: str
    required: tuple[str, ...]
    max_age: float


# Without `exp`, too: neither older Keycloaks nor drafts of the standard had one. `iat` bounds both.
LOGOUT = Kind("logout+jwt", ("iss", "aud", "iat", "jti", "events"), 600)
# Who could not deliver it may send it for days.
EVENT = Kind("secevent+jwt", ("iss", "aud", "iat", "jti", "events"), 7 * 86400)


@dataclass(frozen=True)
class Verifier:
    issuer: str
    audience: str | Sequence[str]
    algorithms: tuple[str, ...]
    keys: KeySet
    max_age: float | None
    clock_skew: float

    def claims_of(self, token: str, kind: Kind) -> dict[str, Any]:
        algorithm, kid = self._header_of(token, kind)
        claims = self._verified(token, algorithm, self.keys.key_for(kid, algorithm), kind)
        text_of(claims["jti"], "jti")
        self._check_time(claims["iat"], self.max_age or kind.max_age)
        if not isinstance(claims["events"], Mapping) or not claims["events"]:
            raise Refused(INVALID_REQUEST, "events is not an object with an event")
        return claims

    def _header_of(self, token: str, kind: Kind) -> tuple[str, str | None]:
        try:
            header = jwt.get_unverified_header(token)
        except MALFORMED as error:
            raise Refused(INVALID_REQUEST, "the token is not a signed JWT") from error
        # `crit` and `b64` change how the rest is to be read.
        if "crit" in header or "b64" in header:
            raise Refused(INVALID_REQUEST, "the token has a critical header")
        named = header.get("typ", "JWT")
        short = named.lower().removeprefix("application/") if isinstance(named, str) else None
        if short not in ("jwt", kind.type):
            raise Refused(INVALID_REQUEST, f"the token's typ is not {kind.type}")
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in self.algorithms:
            raise Refused(INVALID_KEY, "the token's algorithm is not accepted")
        return algorithm, None if kid is None else text_of(kid, "kid")

    def _verified(self, token: str, algorithm: str, key: Any, kind: Kind) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self.audience,
                issuer=self.issuer,
                leeway=self.clock_skew,
                options={"require": list(kind.required)},
            )
        except exceptions.InvalidSignatureError as error:
            raise Refused(AUTHENTICATION_FAILED, "the signature is wrong") from error
        except exceptions.InvalidIssuerError as error:
            raise Refused(INVALID_ISSUER, "the issuer is another one") from error
        except exceptions.InvalidAudienceError as error:
            raise Refused(INVALID_AUDIENCE, "the audience is another one") from error
        except exceptions.ExpiredSignatureError as error:
            raise Refused(INVALID_REQUEST, "the token has expired") from error
        except exceptions.ImmatureSignatureError as error:
            raise Refused(INVALID_REQUEST, "the token is from the future") from error
        except exceptions.MissingRequiredClaimError as error:
            codes = {"iss": INVALID_ISSUER, "aud": INVALID_AUDIENCE}
            code = codes.get(error.claim, INVALID_REQUEST)
            raise Refused(code, f"the token has no {error.claim}") from error
        except MALFORMED as error:
            raise Refused(INVALID_REQUEST, "the token's claims cannot be read") from error
        return claims

    def _check_time(self, issued: object, max_age: float) -> None:
        """The bound on what has to be remembered: a token that is older is not asked about."""
        if isinstance(issued, bool) or not isinstance(issued, (int, float)):
            raise Refused(INVALID_REQUEST, "iat is not a number")
        age = time.time() - issued
        if age > max_age + self.clock_skew:
            raise Refused(INVALID_REQUEST, "the token is too old")
        if age < -self.clock_skew:
            raise Refused(INVALID_REQUEST, "the token is from the future")


def check_logout(claims: Mapping[str, Any]) -> None:
    """OpenID Connect Back-Channel Logout 1.0, section 2.6."""
    if not isinstance(claims["events"].get(LOGOUT_EVENT), Mapping):
        raise Refused(INVALID_REQUEST, "events has no back-channel logout")
    if "nonce" in claims:
        raise Refused(INVALID_REQUEST, "a logout token has no nonce")
    if "sub" not in claims and "sid" not in claims:
        raise Refused(INVALID_REQUEST, "the token has neither sub nor sid")
