"""The receiver that an app mounts if JWKS, the address of the provider's keys, is in the environment. None: it is not."""

import os


def receiver_of(query):
    """`query` gives the ids of the users, without its WHERE."""
    if "JWKS" not in os.environ:
        return None
    from pg_session_guard.receivers import Receiver

    return Receiver(
        "https://sso.example.com/realms/demo",
        audience="the-app",
        jwks_uri=os.environ["JWKS"],
        user_ids=query + " WHERE username || '-sub' = %(sub)s",
    )
