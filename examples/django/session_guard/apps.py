from django.apps import AppConfig


class SessionGuardConfig(AppConfig):
    name = "session_guard"

    def ready(self):
        from session_guard import guard  # noqa: F401  (connects what it does at a login)
