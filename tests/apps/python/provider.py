"""An identity provider: its keys, served over HTTP on loopback, and tokens of the shapes of Keycloak's and Okta's."""

import base64
import json
import secrets
import threading
import time
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

KEYCLOAK = "https://sso.example.com/realms/demo"
OKTA = "https://example.okta.com"
AUDIENCE = "the-app"
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
RISC = "https://schemas.openid.net/secevent/risc/event-type/"


@cache
def rsa_key(name, bits=2048):
    """Made once for each name, since that takes a while."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def ec_key(name, curve=ec.SECP256R1):
    return ec.generate_private_key(curve())


def public(key, kid, **more):
    """As a JWK Set has it."""
    algorithm = RSAAlgorithm if hasattr(key, "private_numbers") and isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": kid, **more}


class Provider:
    """`status`: of the answer that its keys are asked for by. `asked`: how often they were."""

    def __init__(self):
        self.keys = [
            # Keycloak's: one to sign with, and one that is for encryption alone.
            public(
                rsa_key("keycloak"), "FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE", use="sig", alg="RS256", x5c=["MII"]
            ),
            public(rsa_key("encryption"), "enc", use="enc", alg="RSA-OAEP"),
            public(ec_key("ec"), "ec", use="sig", alg="ES256"),
            # Okta's.
            public(rsa_key("okta"), "ep2pVWLkXm3X8Mv1oaNt6hGwWzKnGoI0", use="sig", alg="RS256"),
        ]
        self.status, self.asked, self.body, self.location = 200, 0, None, None

    @contextmanager
    def serving(self):
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                provider.asked += 1
                body = provider.body if provider.body is not None else json.dumps({"keys": provider.keys}).encode()
                self.send_response(provider.status)
                if provider.location:
                    self.send_header("Location", provider.location)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        self.address = f"http://127.0.0.1:{server.server_address[1]}/certs"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()


def without_none(claims):
    return {name: value for name, value in claims.items() if value is not None}


def signed(claims, key, algorithm="RS256", **header):
    return jwt.encode(without_none(claims), key, algorithm, {name: value for name, value in header.items() if value})


def keycloak_claims(sub="alice-sub", **changed):
    """A claim of None is left out."""
    now = int(time.time())
    return {
        "iat": now,
        "exp": now + 120,
        "jti": secrets.token_hex(16),
        "iss": KEYCLOAK,
        "aud": AUDIENCE,
        "sub": sub,
        "typ": "Logout",
        "sid": "75bd6b6d-4a4f-4b5c-9b1a-1b5c4b1f5d5e",
        "events": {LOGOUT_EVENT: {}, "revoke_offline_access": True},
        **changed,
    }


def keycloak_logout(sub="alice-sub", **changed):
    header = {"kid": "FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE", "typ": "JWT"}
    return signed(keycloak_claims(sub, **changed), rsa_key("keycloak"), **header)


def okta_claims(event=CAEP + "session-revoked", sub="alice-sub", **changed):
    now = int(time.time())
    payload = {
        "event_timestamp": now,
        "initiating_entity": "admin",
        "reason_admin": {"en": "Landspeed violation"},
        "subject": {
            "user": {"format": "iss_sub", "iss": OKTA, "sub": sub},
            "session": {"format": "opaque", "id": "idx-session"},
        },
    }
    return {
        "iss": OKTA,
        "aud": AUDIENCE,
        "jti": secrets.token_hex(12),
        "iat": now,
        "events": {event: payload},
        **changed,
    }


def okta_event(**changed):
    header = {"kid": "ep2pVWLkXm3X8Mv1oaNt6hGwWzKnGoI0", "typ": "secevent+jwt"}
    return signed(okta_claims(**changed), rsa_key("okta"), **header)


def base64url(content):
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def by_hand(header, claims, signature=b""):
    """What no library would make."""
    parts = [json.dumps(part).encode() for part in (header, without_none(claims))]
    return ".".join(base64url(part) for part in (*parts, signature))
