"""Pages of the admin where sessions are ended. In urls.py:

    add_session_pages(admin.site)

After the users' own ModelAdmin is registered, to which it adds an action and what the user's page
shows. Who may: see the permissions of the models here.
"""

from __future__ import annotations

from django.contrib.admin import AdminSite
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured

from pg_session_guard.django.conf import require_app
from pg_session_guard.django.models import Event, Finding
from pg_session_guard.django.record_pages import FindingsAdmin, RecordAdmin
from pg_session_guard.django.user_pages import SessionsOfUsers


def add_session_pages(site: AdminSite) -> None:
    require_app()
    users = get_user_model()
    registered = site._registry.get(users)
    if registered is None:
        raise ImproperlyConfigured(
            f"register {users.__name__} with the admin before add_session_pages"
        )
    if isinstance(registered, SessionsOfUsers):
        return
    site.unregister(users)
    site.register(users, type("UserAdmin", (SessionsOfUsers, type(registered)), {}))
    site.register(Event, RecordAdmin)
    site.register(Finding, FindingsAdmin)
