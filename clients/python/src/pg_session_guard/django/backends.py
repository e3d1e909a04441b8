"""Backends that read the user and, in the same query, whether the session counts."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from pg_session_guard.django.asking import start
from pg_session_guard.django.conf import (
    is_guarded,
    reading_connection,
    require_app,
    writing_connection,
)
from pg_session_guard.django.logins import BEGUN
from pg_session_guard.django.question import current_question
from pg_session_guard.django.user_query import read


class SessionGuardMixin:
    """For a backend of your own, before ModelBackend or what is built on it."""

    def __init__(self, *args: Any, **fields: Any) -> None:
        require_app()
        super().__init__(*args, **fields)

    def get_user(self, user_id: Any) -> Any:
        question = current_question()
        connection = reading_connection()
        if question is None or not is_guarded(connection):
            return super().get_user(user_id)  # type: ignore[misc]
        user = read(get_user_model(), connection, user_id, question.kept)
        if user is None:
            question.valid = False
            return None
        question.valid = user.session_guard_valid is True
        may_log_in: Any = getattr(self, "user_can_authenticate", lambda _user: True)
        return user if question.valid and may_log_in(user) else None

    async def aget_user(self, user_id: Any) -> Any:
        return await sync_to_async(self.get_user)(user_id)


class SessionGuardBackend(SessionGuardMixin, ModelBackend):
    """In place of ModelBackend."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **fields: Any,
    ) -> Any:
        users: Any = get_user_model()
        if username is None:
            username = fields.get(users.USERNAME_FIELD)
        if username is None or password is None or not is_guarded(writing_connection()):
            return super().authenticate(request, username, password, **fields)
        # What is done besides Django's own is the same for each name, until the password is right:
        # otherwise the time that it takes would tell which names there are. Twice at most: the
        # password may be changed meanwhile.
        for _ in range(2):
            before = _hash_of(users, username)
            user: Any = super().authenticate(request, username, password, **fields)
            if user is None:
                return None
            # Django may have found that the hash is an old one, and written a new one: so the login
            # comes after. In the transaction that has written, it waits for nobody.
            login_at = start(user.pk, in_this_transaction=user.password != before)
            if login_at is None:
                return None
            # A password that was changed before the login began went unseen so far. From now on, a
            # change ends it.
            if _hash_of(users, username) == user.password:
                setattr(user, BEGUN, login_at)
                return user
        return None

    async def aauthenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **fields: Any,
    ) -> Any:
        return await sync_to_async(self.authenticate)(request, username, password, **fields)


def _hash_of(users: Any, username: str) -> str | None:
    """As it is now: not by a replica."""
    manager = users._default_manager.db_manager(writing_connection().alias)
    try:
        password: str | None = manager.get_by_natural_key(username).password
    except users.DoesNotExist:
        return None
    return password
