"""A small Django app whose sessions lie in the table of django-user-sessions, or of django-qsessions."""

import os

SECRET_KEY = os.environ["SECRET_KEY"]
# user_sessions or qsessions
SESSIONS = os.environ["SESSIONS"]
ALLOWED_HOSTS = ["127.0.0.1"]
DEBUG = False
ROOT_URLCONF = "django_app.urls"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", SESSIONS]
SESSION_ENGINE = f"{SESSIONS}.backends.db"
MIDDLEWARE = [
    f"{SESSIONS}.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": os.environ["PGDATABASE"]}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
# Good hashes take long on purpose, and here are hundreds of logins.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
