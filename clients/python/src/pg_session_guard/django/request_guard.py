"""One request's user: read at the first time that somebody asks, and checked with it."""

from __future__ import annotations

import logging
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib import messages
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.http import HttpRequest

from pg_session_guard.core.answers import RouteKind, kind_of_route
from pg_session_guard.core.errors import cannot_ask
from pg_session_guard.core.login_time import LOGIN_TIME_KEY
from pg_session_guard.django.asking import (
    CannotAsk,
    asking,
    failing_closed,
    is_valid,
    start,
    start_after_change,
)
from pg_session_guard.django.conf import (
    guard_settings,
    is_guarded,
    reading_connection,
    writing_connection,
)
from pg_session_guard.django.question import Question, asked

log = logging.getLogger("pg_session_guard")


class RequestGuard:
    def __init__(self, request: HttpRequest) -> None:
        self.request: Any = request
        # Yet to be read, as a rule. A middleware before this may have read it already, or logged
        # somebody in.
        self.unchecked_user: Any = self.request.user
        self.user_is_read = False
        self.ended = False
        self.failed = False
        self.login_at: str | None = None
        self.password_hash: str | None = None
        # The hash of the own new password, and the login time of the transaction that wrote it.
        self.begun: tuple[str, str | None] | None = None
        self._user: Any = None

    @property
    def kind(self) -> RouteKind:
        return kind_of_route(self.request.headers)

    def user(self) -> Any:
        if not self.user_is_read:
            try:
                self._user = self._read()
            except CannotAsk:
                self.failed = True
                raise
            self.user_is_read = True
        return self._user

    async def auser(self) -> Any:
        return await sync_to_async(self.user)()

    def _read(self) -> Any:
        if not is_guarded(reading_connection()):
            return self.unchecked_user
        try:
            user, valid = self._read_and_ask()
        except CannotAsk as error:
            log.exception(cannot_ask(error))
            if not guard_settings().fail_open:
                raise
            return self.unchecked_user
        if valid is False:
            return self._end()
        self.login_at = self.request.session.get(LOGIN_TIME_KEY)
        self.password_hash = self.request.session.get(HASH_SESSION_KEY)
        return user

    def _read_and_ask(self) -> tuple[Any, bool | None]:
        """The user, and whether the session counts; None where there is no session."""
        with asking(reading_connection()):
            question = Question(self.request.session.get(LOGIN_TIME_KEY))
            with asked(question):
                is_somebody = self.unchecked_user.is_authenticated
            if question.valid is None and is_somebody:
                question.valid = is_valid(self.unchecked_user.pk, question.kept)
            return self.unchecked_user, question.valid

    def _end(self) -> AnonymousUser:
        self.ended = True
        with failing_closed():
            self.request.session.flush()
        self.request._cached_user = AnonymousUser()
        message = guard_settings().message
        if message:
            messages.warning(self.request, message, fail_silently=True)
        return AnonymousUser()

    def has_new_password(self, user: Any) -> bool:
        """Of this session's own user, about to be saved."""
        if not self._may_be_kept() or not hasattr(user, "get_session_auth_hash"):
            return False
        if self.request.session.get(SESSION_KEY) != user._meta.pk.value_to_string(user):
            return False
        return bool(user.get_session_auth_hash() != self.password_hash)

    def begin(self, user: Any) -> None:
        """In the transaction that has written the password. After a rollback its time would be one
        that a later stamp might not end."""
        alias = writing_connection().alias
        try:
            with transaction.atomic(using=alias):  # An error leaves the new password as it is.
                begun = user.get_session_auth_hash(), start_after_change(user.pk)
        except CannotAsk as error:
            log.exception(cannot_ask(error))
            return
        transaction.on_commit(lambda: setattr(self, "begun", begun), using=alias)

    def _may_be_kept(self) -> bool:
        return self.user_is_read and not self.ended and self.login_at is not None

    def keep_session(self) -> None:
        """After update_session_auth_hash, by which a view says that the session outlives the new
        password: as Django's own page for it does, and the admin's. The new password has ended all
        sessions, so this one begins anew."""
        if not self._may_be_kept():
            return
        session = self.request.session
        new_hash = session.get(HASH_SESSION_KEY)
        changed = new_hash not in (None, self.password_hash)
        if not changed or session.get(LOGIN_TIME_KEY) != self.login_at:
            return
        if self.begun and self.begun[0] == new_hash:
            login_at = self.begun[1]
        else:  # Written by another way than save().
            login_at = start(session[SESSION_KEY])
        if login_at is None:
            session.flush()
        else:
            session[LOGIN_TIME_KEY] = login_at
