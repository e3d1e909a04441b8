"""djangorestframework-simplejwt, in Django's settings:

TOKENS = "pg_session_guard.jwt.simplejwt.Guarded"
REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": [f"{TOKENS}Authentication"]}
SIMPLE_JWT = {
    "TOKEN_OBTAIN_SERIALIZER": f"{TOKENS}TokenObtainPairSerializer",
    "TOKEN_REFRESH_SERIALIZER": f"{TOKENS}TokenRefreshSerializer",
}

For TokenVerifyView, and for sliding tokens, with AUTH_TOKEN_CLASSES of simplejwt's:

    "TOKEN_VERIFY_SERIALIZER": f"{TOKENS}TokenVerifySerializer",
    "SLIDING_TOKEN_OBTAIN_SERIALIZER": f"{TOKENS}TokenObtainSlidingSerializer",
    "SLIDING_TOKEN_REFRESH_SERIALIZER": f"{TOKENS}TokenRefreshSlidingSerializer",

The check rides on the query by which simplejwt reads the token's user. A request's 401 is
simplejwt's own.
"""

from __future__ import annotations

import logging
from copy import copy
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from rest_framework.exceptions import APIException, AuthenticationFailed
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import InvalidToken
from rest_framework_simplejwt.serializers import (
    TokenObtainPairSerializer,
    TokenObtainSerializer,
    TokenObtainSlidingSerializer,
    TokenRefreshSerializer,
    TokenRefreshSlidingSerializer,
    TokenVerifySerializer,
)
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import SlidingToken, UntypedToken

from pg_session_guard.core import login_time
from pg_session_guard.core.errors import cannot_ask
from pg_session_guard.core.login_time import LOGIN_TIME_KEY
from pg_session_guard.django.asking import (
    CannotAsk,
    asking,
    failing_closed,
    is_valid,
    session_valid,
    session_valid_of_row,
    start,
)
from pg_session_guard.django.conf import (
    guard_settings,
    is_guarded,
    reading_connection,
    writing_connection,
)
from pg_session_guard.django.logins import BEGUN, begun_of

log = logging.getLogger("pg_session_guard")


class Unavailable(APIException):  # type: ignore[misc]
    status_code = 503
    default_detail = "Service Unavailable"


def _kept(token: Any) -> str | None:
    login_at = login_time.of_token(token.payload)
    is_sliding = token.get(api_settings.TOKEN_TYPE_CLAIM) == SlidingToken.token_type
    if is_sliding and token.get(LOGIN_TIME_KEY) is None:
        login_at = login_time.LONG_AGO  # Each refresh gives it another `iat`.
    return login_time.to_text(login_at) if login_at else None


def _time_to_pass_on(token: Any) -> str:
    """To what is made of the token. One without a time has been there before every epoch."""
    return _kept(token) or login_time.to_text(login_time.LONG_AGO)


class _AskedUsers:
    """In place of the model: its `objects.get` asks in the same query."""

    def __init__(self, model: Any, connection: Any, kept: str | None) -> None:
        self.model, self.connection, self.kept = model, connection, kept
        self.DoesNotExist = model.DoesNotExist
        self.objects = self

    def get(self, **by: Any) -> Any:
        [(field, value)] = by.items()
        if _is_key(self.model, field):
            valid: Any = session_valid(self.connection, value, self.kept)
        else:
            valid = session_valid_of_row(self.connection, self.kept)
        users = self.model.objects.using(self.connection.alias)
        try:
            return users.annotate(session_guard_valid=valid).get(**by)
        except (ValueError, ValidationError) as error:  # Such as a text that is no UUID.
            raise self.DoesNotExist from error


def _is_key(model: Any, field: str) -> bool:
    return field in ("pk", model._meta.pk.name, model._meta.pk.attname)


class GuardedAuthentication(JWTAuthentication):
    user_model: Any

    def get_user(self, validated_token: Any) -> Any:
        connection = reading_connection()
        if not is_guarded(connection):
            return super().get_user(validated_token)
        guarded = copy(self)  # Other threads may have this one.
        guarded.user_model = _AskedUsers(self.user_model, connection, _kept(validated_token))
        try:
            with asking(connection):
                user: Any = super(GuardedAuthentication, guarded).get_user(validated_token)
        except CannotAsk as error:
            _cannot_ask(error)
            return super().get_user(validated_token)
        if not user.session_guard_valid:
            raise AuthenticationFailed("The session has ended", code="session_ended")
        user.session_guard_token = (_time_to_pass_on(validated_token), user.password)
        return user


class _ObtainSerializer(TokenObtainSerializer):
    @classmethod
    def get_token(cls, user: Any) -> Any:
        """The access token takes over the claim of the refresh token."""
        token = super().get_token(user)
        if is_guarded(reading_connection()):
            token[LOGIN_TIME_KEY] = _begun(user) or _made_of(user) or _start(user)
        return token


class GuardedTokenObtainPairSerializer(_ObtainSerializer, TokenObtainPairSerializer):
    pass


class GuardedTokenObtainSlidingSerializer(_ObtainSerializer, TokenObtainSlidingSerializer):
    pass


def _begun(user: Any) -> str | None:
    begun = begun_of(user)
    if begun is None and BEGUN in user.__dict__:
        raise _no_active_account()
    return begun


def _made_of(user: Any) -> str | None:
    """What an app makes of a request's token is as old as that, unless the user has got a new
    password meanwhile: that has ended the old token."""
    made_of, password = user.__dict__.get("session_guard_token", (None, None))
    return made_of if user.password == password else None


class GuardedTokenRefreshSerializer(TokenRefreshSerializer):
    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        refresh = self.token_class(attrs["refresh"])
        if is_guarded(reading_connection()):
            if not _is_valid(refresh):
                raise InvalidToken("The session has ended")
            if LOGIN_TIME_KEY not in refresh:
                # Rotation gives it another `iat`, which is not the time of its login.
                refresh[LOGIN_TIME_KEY] = _time_to_pass_on(refresh)
                attrs = {**attrs, "refresh": str(refresh)}
        validated: dict[str, str] = super().validate(attrs)
        return validated


class GuardedTokenRefreshSlidingSerializer(TokenRefreshSlidingSerializer):
    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        if is_guarded(reading_connection()) and not _is_valid(self.token_class(attrs["token"])):
            raise InvalidToken("The session has ended")
        validated: dict[str, str] = super().validate(attrs)
        return validated


class GuardedTokenVerifySerializer(TokenVerifySerializer):
    def validate(self, attrs: dict[str, Any]) -> dict[Any, Any]:
        validated: dict[Any, Any] = super().validate(attrs)
        if is_guarded(reading_connection()) and not _is_valid(UntypedToken(attrs["token"])):
            raise InvalidToken("The session has ended")
        return validated


def _start(user: Any) -> str:
    """Of a backend that has begun no login: the password that it has checked must be the user's
    still."""
    try:
        login_at = start(user.pk)
        with failing_closed():
            users: Any = get_user_model()._base_manager.using(writing_connection().alias)
            password = users.filter(pk=user.pk).values_list("password", flat=True).first()
    except CannotAsk as error:
        log.error(cannot_ask(error), exc_info=error)
        raise Unavailable from error
    if login_at is None or password != user.password:
        raise _no_active_account()
    return login_at


def _no_active_account() -> AuthenticationFailed:
    return AuthenticationFailed("No active account", code="no_active_account")


def _is_valid(token: Any) -> bool:
    try:
        user_id = _key_of(token.payload.get(api_settings.USER_ID_CLAIM))
        return user_id is not None and is_valid(user_id, _kept(token))
    except CannotAsk as error:
        _cannot_ask(error)
        return True


def _cannot_ask(error: CannotAsk) -> None:
    """Refuses the request, unless the app has chosen otherwise."""
    log.error(cannot_ask(error), exc_info=error)
    if not guard_settings().fail_open:
        raise Unavailable from error


def _key_of(claim: object) -> object:
    """The primary key, which the guard knows the user by, of what the claim has. None: nobody's."""
    model: Any = get_user_model()
    field = api_settings.USER_ID_FIELD
    if claim is None or _is_key(model, field):
        return claim
    connection = reading_connection()
    users = model._default_manager.using(connection.alias)
    try:
        with asking(connection):
            return users.filter(**{field: claim}).values_list("pk", flat=True).first()
    except (ValueError, ValidationError):
        return None
