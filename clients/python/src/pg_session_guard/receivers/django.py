"""Django, in urls.py:

path("backchannel-logout", receive_logouts(receiver)),
path("security-events", receive_events(receiver)),
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from django.db import Error as DatabaseError
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, RawPostDataException
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from pg_session_guard.core.settings import Settings
from pg_session_guard.django.conf import guard_settings, users_table_name, writing_connection
from pg_session_guard.receivers.receiver import MAX_BODY, Answer, FirstValue, Receiver, Request

View = Callable[[HttpRequest], HttpResponse]


def receive_logouts(receiver: Receiver) -> View:
    """OpenID Connect Back-Channel Logout."""
    return _view(receiver.receive_logout)


def receive_events(receiver: Receiver) -> View:
    """Security Event Tokens that are pushed."""
    return _view(receiver.receive_event)


def _view(receive: Callable[[Request, FirstValue, Settings], Answer]) -> View:
    @csrf_exempt
    @require_POST
    def session_guard_receiver(request: HttpRequest) -> HttpResponse:
        given = Request(
            request.META.get("CONTENT_TYPE", ""),
            _body(request),
            request.headers.get("Authorization", ""),
        )
        answer = receive(given, _first_value, _settings())
        return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))

    # Not in a transaction of the request, of whatever database: a login may come before its COMMIT.
    for alias in connections:
        transaction.non_atomic_requests(alias)(session_guard_receiver)
    # As Django's login_not_required does, since 5.1: for LoginRequiredMiddleware.
    session_guard_receiver.login_required = False  # type: ignore[attr-defined]
    return session_guard_receiver


def _body(request: HttpRequest) -> bytes:
    body = b""
    while len(body) <= MAX_BODY and (chunk := request.read(MAX_BODY + 1 - len(body))):
        body += chunk
    try:
        return body or request.body  # Something of the app's own may have read it before.
    except RawPostDataException:  # There is none, or it is not kept.
        return b""


def _settings() -> Settings:
    return replace(guard_settings(), users=users_table_name(writing_connection()))


def _first_value(statement: str, values: dict[str, Any]) -> Any:
    connection = writing_connection()
    # With AUTOCOMMIT off, nobody else ends what begins here.
    ends_itself = connection.in_atomic_block or connection.get_autocommit()
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
            row = cursor.fetchone()
        if not ends_itself:
            connection.commit()
    except DatabaseError:
        if not ends_itself:
            connection.rollback()
        raise
    return row[0] if row else None
