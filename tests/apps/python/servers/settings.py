"""A Django project as they are: each request a transaction, a user model of its own, the admin, messages, static files."""

import os
from pathlib import Path

HERE = Path(__file__).parent
SECRET_KEY = os.environ["SECRET_KEY"]
ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
DEBUG = True
ROOT_URLCONF = "urls"
USE_TZ = True
AUTH_USER_MODEL = "people.Person"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGIN_URL, LOGIN_REDIRECT_URL = "/login", "/private"
STATIC_URL, STATICFILES_DIRS = "/static/", [HERE / "templates"]
GUARDED = "UNGUARDED" not in os.environ
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    *["pg_session_guard.django"] * GUARDED,
    "people",
    "rest_framework",
]
MIDDLEWARE = [
    "urls.count_statements",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    *["pg_session_guard.django.middleware.SessionGuardMiddleware"] * GUARDED,
    *["django.contrib.auth.middleware.LoginRequiredMiddleware"] * ("LOGIN_REQUIRED" in os.environ),
    "django.contrib.messages.middleware.MessageMiddleware",
]
GUARD, STOCK = "pg_session_guard.django.backends.SessionGuardBackend", "django.contrib.auth.backends.ModelBackend"
AUTHENTICATION_BACKENDS = [GUARD if GUARDED else STOCK]
SESSION_GUARD_LOCK_TIMEOUT = float(os.environ.get("LOCK_TIMEOUT", 600))
# Good hashes take long on purpose, and here are hundreds of logins. The second reads a hash that the first renews.
PASSWORD_HASHERS = [f"django.contrib.auth.hashers.{kind}PasswordHasher" for kind in ("MD5", "PBKDF2")]
SESSION_GUARD_FAIL_OPEN = "FAIL_OPEN" in os.environ
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [HERE / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
if "SQLITE" in os.environ:
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["SQLITE"]}}
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ["PGDATABASE"],
            "ATOMIC_REQUESTS": True,
            "CONN_MAX_AGE": 60,
            "OPTIONS": {"connect_timeout": 60},
        }
    }

TOKENS = "pg_session_guard.jwt.simplejwt.Guarded"
REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": [f"{TOKENS}Authentication"]}
SIMPLE_JWT = {
    "USER_ID_FIELD": "number",
    "TOKEN_OBTAIN_SERIALIZER": f"{TOKENS}TokenObtainPairSerializer",
    "TOKEN_REFRESH_SERIALIZER": f"{TOKENS}TokenRefreshSerializer",
}
