"""The Django example's settings with hashes that take no time."""

from settings import *  # noqa: F403

# Good hashes take long on purpose, and here are hundreds of logins. The second reads a hash that the first renews.
PASSWORD_HASHERS = [f"django.contrib.auth.hashers.{kind}PasswordHasher" for kind in ("MD5", "PBKDF2")]
