"""djangorestframework-simplejwt, in Django's settings:

TOKENS = "pg_session_guard.jwt.simplejwt.Guarded"
REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": [f"{TOKENS}Authentication"]}
SIMPLE_JWT = {
    "TOKEN_OBTAIN_SERIALIZER": f"{TOKENS}TokenObtainPairSerializer",
    "TOKEN_REFRESH_SERIALIZER": f"{TOKENS}TokenRefreshSerializer",
}

The check rides on the query that reads the token's user. A request's 401 is simplejwt's own.
"""

from __future__ import annotations

from typing import Any

from django.db import Error as DatabaseError
from rest_framework.exceptions import APIException, AuthenticationFailed
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import InvalidToken
from rest_framework_simplejwt.serializers import TokenObtainPairSerializer, TokenRefreshSerializer
from rest_framework_simplejwt.settings import api_settings

from pg_session_guard.core import login_time
from pg_session_guard.core.login_time import LOGIN_TIME_KEY
from pg_session_guard.django.asking import CannotAsk, is_valid, session_valid, start
from pg_session_guard.django.conf import guard_settings, is_guarded, reading_connection


class Unavailable(APIException):  # type: ignore[misc]
    status_code = 503
    default_detail = "Service Unavailable"


def _kept(token: Any) -> str | None:
    login_at = login_time.of_token(token.payload)
    return login_time.to_text(login_at) if login_at else None


class GuardedAuthentication(JWTAuthentication):
    def get_user(self, validated_token: Any) -> Any:
        connection = reading_connection()
        user_id = validated_token.get(api_settings.USER_ID_CLAIM)
        if user_id is None or not is_guarded(connection):
            return super().get_user(validated_token)
        column = {"session_guard_valid": session_valid(connection, user_id, _kept(validated_token))}
        model = self.user_model
        try:
            user = (
                model.objects.using(connection.alias)
                .annotate(**column)
                .get(**{api_settings.USER_ID_FIELD: user_id})
            )
        except (model.DoesNotExist, ValueError) as error:
            raise AuthenticationFailed("User not found", code="user_not_found") from error
        except DatabaseError as error:
            if not guard_settings().fail_open:
                raise Unavailable from error
            return super().get_user(validated_token)
        if not user.session_guard_valid or not user.is_active:
            raise AuthenticationFailed("The session has ended", code="session_ended")
        return user


class GuardedTokenObtainPairSerializer(TokenObtainPairSerializer):
    @classmethod
    def get_token(cls, user: Any) -> Any:
        """The access token takes over the claim of the refresh token."""
        token = super().get_token(user)
        if is_guarded(reading_connection()):
            login_at = user.__dict__.get("session_guard_login_at") or _start(user.pk)
            token[LOGIN_TIME_KEY] = login_at
        return token


class GuardedTokenRefreshSerializer(TokenRefreshSerializer):
    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        refresh = self.token_class(attrs["refresh"])
        user_id = refresh.payload.get(api_settings.USER_ID_CLAIM)
        if is_guarded(reading_connection()) and not _is_valid(user_id, _kept(refresh)):
            raise InvalidToken("The session has ended")
        validated: dict[str, str] = super().validate(attrs)
        return validated


def _start(user_id: object) -> str:
    try:
        login_at = start(user_id)
    except CannotAsk as error:
        raise Unavailable from error
    if login_at is None:
        raise AuthenticationFailed("No active account", code="no_active_account")
    return login_at


def _is_valid(user_id: object, kept: str | None) -> bool:
    try:
        return is_valid(user_id, kept)
    except CannotAsk as error:
        if guard_settings().fail_open:
            return True
        raise Unavailable from error
