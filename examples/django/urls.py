from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView
from django.http import HttpResponse
from django.urls import path

from session_guard.guard import PasswordChange


@login_required
def private(request):
    return HttpResponse(f"Logged in as {request.user.get_username()}\n", content_type="text/plain")


urlpatterns = [
    path("login", LoginView.as_view(template_name="form.html")),
    path("password", PasswordChange.as_view(template_name="form.html", success_url="/private")),
    path("private", private),
]
