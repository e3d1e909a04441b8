"""A login, and a page for those who are logged in."""

from django.contrib.auth import authenticate, login
from django.db import connection
from django.http import HttpResponse
from django.urls import path


def log_in(request):
    user = authenticate(
        request, username=request.POST["username"], password=request.POST["password"]
    )
    if user is None:
        return HttpResponse("no such account", status=401)
    login(request, user)
    return HttpResponse("welcome")


def private(request):
    if not request.user.is_authenticated:
        return HttpResponse("log in first", status=401)
    return HttpResponse(f"Logged in as {request.user.username}")


def slow(request):
    """Takes as long as somebody has the lock, and then saves the session."""
    visits = request.session.get("visits", 0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(1)")
    request.session["visits"] = visits + 1
    return HttpResponse(f"Visit {visits + 1}")


urlpatterns = [
    path("ready", lambda request: HttpResponse("ready")),
    path("login", log_in),
    path("private", private),
    path("slow", slow),
]
