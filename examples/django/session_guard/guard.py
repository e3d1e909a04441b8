"""Connects Django's sessions to pg_session_guard.

An account that is disabled, by whatever path, loses its sessions at their next request, and they
stay ended when it is enabled again. Django alone keeps them out only while it is disabled.
"""

import logging
from contextlib import contextmanager

from django.contrib.auth import SESSION_KEY, get_user_model, logout
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.signals import user_logged_in
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import PermissionDenied
from django.db import Error, connection, transaction
from django.dispatch import receiver
from django.http import HttpResponse

log = logging.getLogger(__name__)


# --- What the database is asked. As text, an id may be an integer or a UUID. ---


class CannotAsk(Exception):
    pass


@contextmanager
def failing_closed():
    try:
        yield
    except Error as error:
        raise CannotAsk from error


def ask(question, *values):
    with connection.cursor() as cursor:
        cursor.execute(question, values)
        return cursor.fetchone()[0]


def start(user_id):
    """The login time to remember, or None for an account that must not log in."""
    # It locks the user's row, and counts once it has committed: so in a transaction of its own.
    # `durable` raises where there is another one around it already, as of ATOMIC_REQUESTS.
    with failing_closed(), transaction.atomic(durable=True):
        return ask("SELECT session_start(%s::text)::text", str(user_id))


def is_valid(user_id, login_at):
    with failing_closed():
        return ask("SELECT session_valid(%s::text, %s::timestamptz)", str(user_id), login_at)


# --- Each request ---


class SessionGuard:
    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        try:
            with failing_closed():  # Sessions are in the database, too.
                # Not request.user: for a disabled account that is nobody already, and the session
                # would lie there until the account is enabled again.
                user_id = request.session.get(SESSION_KEY)
                if user_id is not None and not is_valid(user_id, request.session.get("login_at")):
                    logout(request)
        except CannotAsk as error:
            return self.process_exception(request, error)
        return self.get_response(request)

    def process_exception(self, _request, exception):
        """If the database cannot answer, all sessions are refused. The session survives for when it can."""
        if isinstance(exception, CannotAsk):
            log.error("cannot ask pg_session_guard", exc_info=exception)
            return HttpResponse("Try again later\n", status=503, content_type="text/plain")


# --- Logins ---


class Backend(ModelBackend):
    def authenticate(self, request, username=None, password=None, **fields):
        users = get_user_model()
        username = fields.get(users.USERNAME_FIELD) if username is None else username
        # Twice at most: Django may find that the hash is an old one and write a new one, which ends
        # sessions like any other new password, and so would end this one.
        for _ in range(2):
            user_id = users.objects.filter(**{users.USERNAME_FIELD: username}).values_list("pk").first()
            # Before the hash is read, or a password that is changed in between would go unseen.
            login_at = start(user_id[0]) if user_id else None
            user = super().authenticate(request, username, password, **fields)
            if user is None or login_at is None:
                return None
            if is_valid(user.pk, login_at):
                user.login_at = login_at
                return user
        return None


@receiver(user_logged_in)
def remember(request, user, **_):
    # Another backend (single sign-on) has no password to read, so it may start the session here.
    login_at = getattr(user, "login_at", None) or start(user.pk)
    if login_at is None:
        request.session.flush()
        raise PermissionDenied
    request.session["login_at"] = login_at


# --- A new password ends all sessions of its user (revoke_on), but for the one that has set it. ---


class PasswordForm(PasswordChangeForm):
    def save(self, commit=True):
        user = super().save(commit=False)
        # Not all columns, as Django would: that enables an account again which has been disabled
        # since it was read.
        user.save(update_fields=["password"])
        return user


class PasswordChange(PasswordChangeView):
    form_class = PasswordForm

    def form_valid(self, form):
        response = super().form_valid(form)
        self.request.session["login_at"] = start(self.request.user.pk)
        return response
