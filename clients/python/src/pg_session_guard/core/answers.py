"""Which answer a request gets: by what the guard says, and by the kind of its route."""

from __future__ import annotations

import re
from enum import Enum
from typing import Protocol

# Of each answer that is given in place of the app's own: whoever keeps it would go on refusing.
NO_STORE = {"Cache-Control": "no-store"}


class RouteKind(Enum):
    HTML = "html"
    API = "api"


class Answer(Enum):
    SERVE = "serve"
    LOG_IN_AGAIN = "redirect to the login page, with a message"
    UNAUTHORIZED = "401, with WWW-Authenticate"
    UNAVAILABLE = "503"


class Headers(Protocol):
    """A request's, as each framework has them: whatever the case of a name."""

    def get(self, name: str, default: str, /) -> str: ...


def kind_of_route(headers: Headers) -> RouteKind:
    """A browser that opens a page asks for text/html, and what asks for nothing is a framework's
    own test client, which wants to see what a browser would. Everything else is a program."""
    is_program = (
        headers.get("Authorization", "").lower().startswith("bearer ")
        or headers.get("X-Requested-With", "").lower() == "xmlhttprequest"
        or headers.get("Content-Type", "").lower().startswith("application/json")
    )
    accept = headers.get("Accept", "")
    wants_page = not accept or any(
        part.split(";")[0].strip().lower() in ("text/html", "application/xhtml+xml")
        for part in accept.split(",")
    )
    return RouteKind.HTML if wants_page and not is_program else RouteKind.API


def answer_to(valid: bool | None, kind: RouteKind, *, fail_open: bool = False) -> Answer:
    """`valid` is None where the database could not say."""
    if valid or (valid is None and fail_open):
        return Answer.SERVE
    if valid is None:
        return Answer.UNAVAILABLE
    return Answer.LOG_IN_AGAIN if kind is RouteKind.HTML else Answer.UNAUTHORIZED


def is_way_back(method: str, path: str) -> bool:
    """Whether a login may go on there: to a page of this site alone, as `//example.org` is
    another's, and not to where a form was sent."""
    return method in ("GET", "HEAD") and re.match(r"/(?![/\\\0-\x1f])", path) is not None


def challenge(*, bearer: bool, ended: bool = True) -> str:
    """The header WWW-Authenticate of a 401; not `ended`: there was no session and no token."""
    if bearer:
        error = ' error="invalid_token", error_description="The session has ended"'
        return "Bearer" + (error if ended else "")
    return 'Cookie realm="login"' + (', error="The session has ended"' if ended else "")
