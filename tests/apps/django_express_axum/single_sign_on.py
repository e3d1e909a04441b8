"""The Django example's settings with a proxy's word for who it is, and no password."""

from quick_hashes import *  # noqa: F403


def sign_on(get_response):
    # Settings are read before Django can import this.
    from django.contrib.auth.middleware import RemoteUserMiddleware

    middleware = RemoteUserMiddleware(get_response)
    middleware.header = "HTTP_X_USER"
    middleware.force_logout_if_no_header = False
    return middleware


MIDDLEWARE = [*MIDDLEWARE[:-1], "single_sign_on.sign_on", MIDDLEWARE[-1]]  # noqa: F405
# The one that leaves it to others to refuse disabled accounts.
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.AllowAllUsersRemoteUserBackend"]
