from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView, PasswordChangeView
from django.http import HttpResponse
from django.urls import path
from pg_session_guard.django.forms import PasswordOnlyChangeForm

PAGE = {"template_name": "form.html"}


@login_required
def private(request):
    return HttpResponse(f"Logged in as {request.user.get_username()}\n", content_type="text/plain")


urlpatterns = [
    path("login", LoginView.as_view(**PAGE)),
    path("password", PasswordChangeView.as_view(**PAGE, form_class=PasswordOnlyChangeForm, success_url="/private")),
    path("private", private),
]
