"""Django: its own sessions, and the admin.

INSTALLED_APPS += ["pg_session_guard.django"]
MIDDLEWARE += ["pg_session_guard.django.middleware.SessionGuardMiddleware"]
AUTHENTICATION_BACKENDS = ["pg_session_guard.django.backends.SessionGuardBackend"]
"""
