"""The public keys of one issuer, from the one address that the app has configured. A URL in a token
(`jku`, `x5u`, `iss`) is never fetched, and a key in a token (`jwk`, `x5c`) is never used."""

from __future__ import annotations

import http.client
import json
import logging
import math
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from jwt import PyJWK
from jwt.exceptions import PyJWTError

from pg_session_guard.receivers.errors import INVALID_KEY, Refused, Unavailable

log = logging.getLogger("pg_session_guard")

# No `none`, and no HMAC: an issuer's public key must not be taken for a secret.
KEY_TYPES = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    "EdDSA": "OKP",
}
MIN_RSA_BITS = 2048
MAX_BYTES, MAX_KEYS = 256 * 1024, 100
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass
class LoadedKeys:
    keys: list[dict[str, Any]]
    at: float
    parsed: dict[tuple[int, str], PyJWK | None] = field(default_factory=dict)

    def find(self, kid: str | None, algorithm: str) -> PyJWK | None:
        """Of this id; without an id, the only one that there is for the algorithm."""
        named = [n for n, key in enumerate(self.keys) if kid is None or key.get("kid") == kid]
        usable = [key for n in named if (key := self._key(n, algorithm))]
        return usable[0] if len(usable) == 1 or (usable and kid is not None) else None

    def _key(self, number: int, algorithm: str) -> PyJWK | None:
        if (number, algorithm) not in self.parsed:
            self.parsed[number, algorithm] = _parse(self.keys[number], algorithm)
        return self.parsed[number, algorithm]


def _parse(key: dict[str, Any], algorithm: str) -> PyJWK | None:
    """None where it is not a key to verify this algorithm with."""
    if key.get("kty") != KEY_TYPES[algorithm] or key.get("use", "sig") != "sig":
        return None
    if key.get("alg", algorithm) != algorithm:
        return None
    try:
        parsed = PyJWK(key, algorithm)
    except (PyJWTError, ValueError, TypeError):
        return None
    size = getattr(parsed.key, "key_size", None)
    return None if key["kty"] == "RSA" and (size or 0) < MIN_RSA_BITS else parsed


class KeySet:
    """Keys are fetched anew when they are old, and when a token names one that is not among them:
    the issuer may have changed its keys. Whoever sends tokens with made-up ids causes no more than
    `most_fetches` in `window` seconds."""

    lifetime = 600.0
    # While the issuer's keys cannot be fetched, older ones serve for so long.
    serve_stale = 3600.0
    most_fetches, window = 5, 60.0
    most_waiting = 8

    def __init__(
        self, uri: str, *, timeout: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        check_uri(uri)
        self.uri = uri
        self.timeout = timeout
        self.clock = clock
        self._loaded: LoadedKeys | None = None
        self._fetches: deque[float] = deque(maxlen=self.most_fetches)
        self._lock = threading.Lock()
        self._waiting = threading.BoundedSemaphore(self.most_waiting)

    def key_for(self, kid: str | None, algorithm: str) -> PyJWK:
        loaded = self._loaded
        found = loaded.find(kid, algorithm) if loaded else None
        age = self.clock() - loaded.at if loaded else math.inf
        if found and age < self.lifetime:
            return found
        # Who has a key that serves does not wait for another's fetch.
        serves = bool(found) and age < self.serve_stale
        fetched = self._fetch_unless_done(loaded, wait=not serves)
        if fetched is not loaded and fetched is not None:
            found = fetched.find(kid, algorithm)
            if found:
                return found
            raise Refused(INVALID_KEY, "the issuer has no such key")
        if serves and found:
            return found
        raise Unavailable("the issuer's keys cannot be fetched now", self._seconds_to_next())

    def _fetch_unless_done(self, seen: LoadedKeys | None, *, wait: bool) -> LoadedKeys | None:
        if not self._waiting.acquire(blocking=False):
            return seen
        try:
            if not self._lock.acquire(timeout=2 * self.timeout if wait else 0):
                return seen
            try:
                if self._loaded is seen and self._may_fetch():
                    self._fetch()
                return self._loaded
            finally:
                self._lock.release()
        finally:
            self._waiting.release()

    def _may_fetch(self) -> bool:
        return self._seconds_to_next() == 0

    def _seconds_to_next(self) -> int:
        if len(self._fetches) < self.most_fetches:
            return 0
        return max(0, math.ceil(self._fetches[0] + self.window - self.clock()))

    def _fetch(self) -> None:
        self._fetches.append(self.clock())
        try:
            keys = fetch(self.uri, self.timeout)
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
            log.warning("cannot fetch the keys of %s: %a", self.uri, str(error)[:200])
            return
        self._loaded = LoadedKeys(keys, self.clock())


def check_uri(uri: str) -> None:
    parts = urlsplit(uri)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname in LOOPBACK:
        return
    raise ValueError("jwks_uri must be an https address: who changes the keys can end sessions")


def fetch(uri: str, timeout: float) -> list[dict[str, Any]]:
    """Follows no redirect."""
    deadline = time.monotonic() + timeout
    request = urllib.request.Request(uri, headers={"Accept": "application/json"})  # noqa: S310
    body = bytearray()
    with _opener().open(request, timeout=timeout) as response:
        while chunk := response.read1(16384):
            body += chunk
            if len(body) > MAX_BYTES or time.monotonic() > deadline:
                raise ValueError("the keys are too many bytes, or come too slowly")
    read = json.loads(body)
    keys = read.get("keys") if isinstance(read, dict) else None
    if not isinstance(keys, list):
        raise ValueError("what came is not a JWK Set")
    return [key for key in keys[:MAX_KEYS] if isinstance(key, dict)]


def _opener() -> urllib.request.OpenerDirector:
    """As urllib's own, without redirects, files and FTP."""
    opener = urllib.request.OpenerDirector()
    handlers: Sequence[type[urllib.request.BaseHandler]] = (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
    )
    for handler in handlers:
        opener.add_handler(handler())
    return opener
