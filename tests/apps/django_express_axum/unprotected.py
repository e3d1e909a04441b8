"""The Django example's settings without the guard: what the tests would see if it did nothing."""

from quick_hashes import *  # noqa: F403

INSTALLED_APPS = [each for each in INSTALLED_APPS if "session_guard" not in each]  # noqa: F405
MIDDLEWARE = [each for each in MIDDLEWARE if "session_guard" not in each]  # noqa: F405
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
