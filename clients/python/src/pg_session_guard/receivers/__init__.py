"""Ends sessions because an identity provider says so: OpenID Connect Back-Channel Logout 1.0, and
Security Event Tokens (RFC 8417) of the Shared Signals Framework that are pushed (RFC 8935).

    receiver = Receiver(issuer, audience=…, jwks_uri=…, user_ids="SELECT id FROM users WHERE …")

Each framework has a module of its own here, with `receive_logouts` and `receive_events`: `.flask`,
`.django`, `.starlette`. It needs the extra `receivers`.
"""

from pg_session_guard.receivers.receiver import Receiver
from pg_session_guard.receivers.subjects import Subject

__all__ = ["Receiver", "Subject"]
