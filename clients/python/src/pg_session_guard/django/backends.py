"""Backends that read the user and, in the same query, whether the session counts."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from pg_session_guard.django.asking import is_valid, start
from pg_session_guard.django.conf import (
    is_guarded,
    reading_connection,
    require_app,
    writing_connection,
)
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
        # Twice at most: Django may find that the hash is an old one and write a new one, which ends
        # sessions like any other new password, and so would end this one. In the transaction that
        # has written, it waits for nobody.
        for has_written in (False, True):
            try:
                user_id = users._default_manager.get_by_natural_key(username).pk
            except users.DoesNotExist:
                # Takes as long as for one that exists.
                return super().authenticate(request, username, password, **fields)
            # Before the hash is read, or a password that is changed in between would go unseen.
            login_at = start(user_id, in_this_transaction=has_written)
            user: Any = super().authenticate(request, username, password, **fields)
            if user is None or login_at is None:
                return None
            if is_valid(user.pk, login_at):
                user.session_guard_login_at = login_at
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
