"""A user's own new password, whatever form has set it: the session's new login time is taken in the
transaction that writes the password. So what ends sessions later ends this one, too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any

from django.db import transaction

from pg_session_guard.django.conf import writing_connection

if TYPE_CHECKING:
    from pg_session_guard.django.request_guard import RequestGuard

_guard: ContextVar[RequestGuard | None] = ContextVar("pg_session_guard_request", default=None)


@contextmanager
def in_request_of(guard: RequestGuard) -> Iterator[None]:
    token = _guard.set(guard)
    try:
        yield
    finally:
        _guard.reset(token)


def watch_saves(users: Any) -> None:
    """No signal will do: without a transaction around it, post_save comes after the COMMIT."""
    save_base = users.save_base

    @wraps(save_base)
    def saved(user: Any, *given: Any, **named: Any) -> None:
        guard = _guard.get()
        if guard is None or not guard.has_new_password(user):
            save_base(user, *given, **named)
            return
        with transaction.atomic(using=writing_connection().alias, savepoint=False):
            save_base(user, *given, **named)
            guard.begin(user)

    users.save_base = saved
