"""Comes after AuthenticationMiddleware. A request that asks for no user asks the database
nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.utils.functional import SimpleLazyObject

from pg_session_guard.core.answers import NO_STORE, RouteKind, challenge
from pg_session_guard.core.errors import cannot_ask
from pg_session_guard.django.asking import CannotAsk
from pg_session_guard.django.conf import require_app
from pg_session_guard.django.own_password import in_request_of
from pg_session_guard.django.request_guard import RequestGuard, log

UNAVAILABLE_PAGE = (
    "<!doctype html><title>Try again later</title>"
    "<h1>Try again later</h1><p>The service cannot tell at the moment whether you are logged in."
)


class SessionGuardMiddleware:
    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        require_app()
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        guard = self._begin(request)
        if self.is_async:
            return self._acall(request, guard)
        with in_request_of(guard):
            response = self.get_response(request)
        return _finish(guard, response)

    async def _acall(self, request: HttpRequest, guard: RequestGuard) -> HttpResponseBase:
        with in_request_of(guard):
            response = await self.get_response(request)
        return await sync_to_async(_finish)(guard, response)

    def _begin(self, request: Any) -> RequestGuard:
        guard = RequestGuard(request)
        request.session_guard = guard
        request.user = SimpleLazyObject(guard.user)
        request.auser = guard.auser
        return guard

    def process_exception(self, request: Any, exception: Exception) -> HttpResponse | None:
        """If the database cannot answer, all sessions are refused. They survive for when it can."""
        if isinstance(exception, CannotAsk):
            log.error(cannot_ask(exception), exc_info=exception)
            return _unavailable(request.session_guard)
        return None


def _finish(guard: RequestGuard, response: HttpResponseBase) -> HttpResponseBase:
    if guard.failed:  # Whatever was made of the error: to the template tag `if`, it is false.
        return _unavailable(guard)
    if guard.ended and guard.kind is RouteKind.API and _refuses(response):
        refused = JsonResponse(
            {"detail": "The session has ended"},
            status=401,
            headers={"WWW-Authenticate": challenge(bearer=False)} | NO_STORE,
        )
        refused.cookies = response.cookies  # The message for the next page may be in one.
        return refused
    if guard.ended and response.status_code >= 300:
        response.headers["Cache-Control"] = NO_STORE["Cache-Control"]
    try:
        guard.keep_session()
    except CannotAsk as error:
        log.exception(cannot_ask(error))
        return _unavailable(guard)
    return response


def _refuses(response: HttpResponseBase) -> bool:
    """It asks for a login, or forbids."""
    if response.status_code in (401, 403):
        return True
    location = response.headers.get("Location", "")
    return urlsplit(location).path == urlsplit(resolve_url(settings.LOGIN_URL)).path


def _unavailable(guard: RequestGuard) -> HttpResponse:
    if guard.kind is RouteKind.HTML:
        return HttpResponse(UNAVAILABLE_PAGE, status=503, headers=NO_STORE)
    return JsonResponse({"detail": "Service Unavailable"}, status=503, headers=NO_STORE)
