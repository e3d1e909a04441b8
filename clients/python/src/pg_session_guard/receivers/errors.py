"""Why a token is not acted on."""

from __future__ import annotations

# The codes of RFC 8935, section 2.4.
INVALID_REQUEST = "invalid_request"
INVALID_KEY = "invalid_key"
INVALID_ISSUER = "invalid_issuer"
INVALID_AUDIENCE = "invalid_audience"
AUTHENTICATION_FAILED = "authentication_failed"


class Refused(Exception):
    """For good: the same token is refused again. What is said of it is of this package's own words:
    nothing of the token goes into an answer."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.description = description


class Unavailable(Exception):
    """For now: the sender may send it again."""

    def __init__(self, reason: str, retry_after: int = 10) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
