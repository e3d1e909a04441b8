import django
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView, PasswordChangeView
from django.db import connection, transaction
from django.http import HttpResponse, JsonResponse
from django.urls import path
from receiving import receiver_of
from rest_framework.decorators import api_view, permission_classes
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView

admin.site.register(get_user_model(), UserAdmin)
if settings.GUARDED:
    from pg_session_guard.django.pages import add_session_pages

    add_session_pages(admin.site)
PAGE = {"template_name": "form.html"}


@api_view()
@permission_classes([IsAuthenticated])
def by_token(request):
    return Response({"name": request.user.get_username()})


@login_required
def private(request):
    return HttpResponse(f"Logged in as {request.user.get_username()}\n")


@login_required
def me(request):
    return JsonResponse({"name": request.user.get_username()})


if django.VERSION >= (5, 1):

    @transaction.non_atomic_requests
    @login_required
    async def private_async(request):
        user = await request.auser()
        return HttpResponse(f"Logged in as {user.get_username()}\n")

else:
    # With neither request.auser nor a login_required of its own.
    @transaction.non_atomic_requests
    async def private_async(request):
        return await sync_to_async(private)(request)


def public(_request):
    return HttpResponse("open to all")


public.login_required = False


def by_orm(_request, active):
    person = get_user_model().objects.get(username="alice")
    person.is_active = bool(active)
    person.save()
    return HttpResponse()


def count_statements(get_response):
    """How many statements a request has run, as a header of its answer."""

    def middleware(request):
        count = 0

        def counted(execute, *arguments):
            nonlocal count
            count += 1
            return execute(*arguments)

        with connection.execute_wrapper(counted):
            response = get_response(request)
        response["X-Statements"] = count
        return response

    return middleware


urlpatterns = [
    path("admin/", admin.site.urls),
    path("login", LoginView.as_view(**PAGE)),
    path("password", PasswordChangeView.as_view(**PAGE, success_url="/private")),
    path("token", TokenObtainPairView.as_view()),
    path("token/refresh", TokenRefreshView.as_view()),
    path("by-token", by_token),
    path("private", private),
    path("private-async", private_async),
    path("api/me", me),
    path("open", public),
    path("by-orm/<int:active>", by_orm),
]
if receiver := receiver_of('SELECT number FROM "Staff Members"'):
    from pg_session_guard.receivers.django import receive_events, receive_logouts

    urlpatterns += [
        path("backchannel-logout", receive_logouts(receiver)),
        path("security-events", receive_events(receiver)),
    ]
