"""The Django example's settings without the guard's middleware: what the tests would see if it did nothing."""

from settings import *  # noqa: F403

MIDDLEWARE = [each for each in MIDDLEWARE if "session_guard" not in each]  # noqa: F405
