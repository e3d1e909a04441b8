from django.apps import AppConfig
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in

from pg_session_guard.django.logins import remember
from pg_session_guard.django.own_password import watch_saves

# Now, and not in ready(): Django's own receiver, which is connected there, changes the row of the
# user. In a request that is one transaction, the login would then wait for itself.
user_logged_in.connect(remember, dispatch_uid="pg_session_guard")


class SessionGuardConfig(AppConfig):
    name = "pg_session_guard.django"
    label = "pg_session_guard"
    verbose_name = "Session guard"

    def ready(self) -> None:
        from pg_session_guard.django import checks  # noqa: F401  (registers them)

        watch_saves(get_user_model())
