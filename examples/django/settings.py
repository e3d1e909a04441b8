import os
from pathlib import Path

from django.core.management.utils import get_random_secret_key

# A key of its own for each start logs everybody out, and serves one process only.
SECRET_KEY = os.environ.get("SECRET_KEY") or get_random_secret_key()
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "urls"
USE_TZ = True

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "pg_session_guard.django",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "pg_session_guard.django.middleware.SessionGuardMiddleware",
]
AUTHENTICATION_BACKENDS = ["pg_session_guard.django.backends.SessionGuardBackend"]
LOGIN_URL = "/login"
LOGIN_REDIRECT_URL = "/private"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["PGDATABASE"],  # libpq takes the rest from the environment by itself.
        "OPTIONS": {
            # A new password waits for a change of its account that is not committed yet, but not for ever.
            "options": "-c lock_timeout=2s",
            "connect_timeout": 5,
            "pool": {"max_size": 10, "timeout": 5},
        },
    }
}
