"""Posts each event of session_guard.event to a receiver, as a signed Security Event Token (RFC 8417, RFC 8935).

    pip install -r requirements.txt
    createuser push && psql -d app -1 -v ON_ERROR_STOP=1 -f schema.sql
    openssl ecparam -name prime256v1 -genkey -noout -out key.pem
    python push.py "dbname=app user=push" https://receiver.example/events --key key.pem \
        --issuer https://app.example --audience https://receiver.example

Each event is posted until the receiver has taken or refused it, the oldest first. After a crash the last one may be
posted again, with the same jti. PUSH_AUTHORIZATION is sent as the header Authorization.
"""

import argparse
import contextlib
import json
import logging
import os
import time

import jwt
import psycopg
import requests
import urllib3

# Older events than these are looked for by a sweep, as that reads the whole table.
RECENT = "1 day"
LONGEST_PAUSE, LONGEST_RETRY_AFTER = 60, 3600
# The errors of RFC 8935, section 2.4, that are about all that this sends, as 401 and 403 are.
SETUP_ERRORS = {"access_denied", "authentication_failed", "invalid_audience", "invalid_issuer", "invalid_key"}
CONNECTION = {
    "autocommit": True,  # No transaction is open while the receiver is asked.
    "prepare_threshold": None,  # A plan of its own for what is recent, and for all.
    "target_session_attrs": "read-write",  # What is delivered cannot be noted on a standby.
    "fallback_application_name": "push",
    "client_encoding": "UTF8",
}
# Over TCP, a server that is gone without a word is found out in half a minute.
CONNECTION |= {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
CONNECTION |= {"tcp_user_timeout": 25_000}
# No greatest id is kept: a transaction may commit after others that took later ids, and restored events have ids and
# transactions of another cluster. Nor is there a wait for the oldest transaction, as a long one would hold up all.
PENDING = """
    SELECT id, transaction_id::text FROM session_guard.event
    WHERE at > coalesce(now() - %s::interval, '-infinity') AND NOT EXISTS (
        SELECT FROM push_delivery AS done WHERE done.id = event.id AND done.transaction_id = event.transaction_id)
    ORDER BY at, id LIMIT 1000"""
DONE = "INSERT INTO push_delivery (id, transaction_id, refused) VALUES (%s, %s::xid8, %s) ON CONFLICT DO NOTHING"
FORGET_PRUNED = """
    DELETE FROM push_delivery AS done WHERE NOT EXISTS (
        SELECT FROM session_guard.event WHERE event.id = done.id AND event.transaction_id = done.transaction_id)"""
# In the same database, a consumer with a push_delivery in another schema is another one.
LOCK = "SELECT pg_try_advisory_lock('push_delivery'::regclass::oid::bigint)"


class TryLater(Exception):
    def __init__(self, reason, seconds=0):
        super().__init__(reason)
        self.seconds = seconds


class Receiver:
    def __init__(self, options):
        self.url, self.timeout, self.algorithm = options.receiver, options.timeout, options.algorithm
        with open(options.key, "rb") as file:
            self.key = jwt.get_algorithm_by_name(options.algorithm).prepare_key(file.read())
        self.header = {"typ": "secevent+jwt"} | ({"kid": options.kid} if options.kid else {})
        self.claims = {"iss": options.issuer, "aud": options.audience}
        self.http = requests.Session()
        self.http.headers.update({"Content-Type": "application/secevent+jwt", "Accept": "application/json"})
        if authorization := os.environ.get("PUSH_AUTHORIZATION"):
            self.http.headers["Authorization"] = authorization

    def refusal(self, claims):
        """None: it has taken the event. A text: it never will."""
        token = jwt.encode(claims | self.claims, self.key, self.algorithm, self.header)
        answer = self.http.post(self.url, token, timeout=self.timeout, allow_redirects=False)
        if answer.status_code == 202:
            return None
        if answer.status_code == 400:
            error = answer.json()
            code, text = error.get("err") if isinstance(error, dict) else None, json.dumps(error)[:1000]
            if isinstance(code, str) and code not in SETUP_ERRORS:
                return text  # In ASCII, whatever the receiver says.
            raise TryLater(f"answered 400: {text}")
        seconds = 0
        with contextlib.suppress(urllib3.exceptions.InvalidHeader):
            seconds = urllib3.Retry().get_retry_after(answer.raw) or 0
        raise TryLater(f"answered {answer.status_code}", min(seconds, LONGEST_RETRY_AFTER))


class Consumer:
    def __init__(self, options):
        self.options, self.receiver = options, Receiver(options)
        self.failures, self.next_sweep = 0, 0

    def run(self):
        while True:
            try:
                with psycopg.connect(self.options.dsn, **CONNECTION) as connection:
                    return self.consume(connection)
            except (psycopg.Error, requests.RequestException, TryLater) as error:
                if self.options.once:
                    raise SystemExit(f"not all events are posted: {error}")
                pause = max(min(self.options.pause * 2**self.failures, LONGEST_PAUSE), getattr(error, "seconds", 0))
                logging.warning("trying again in %g s: %s", pause, error)
            self.failures = min(self.failures + 1, 10)
            time.sleep(pause)

    def consume(self, connection):
        if not connection.execute(LOCK).fetchone()[0]:
            raise TryLater("another consumer is at work")
        connection.execute("LISTEN session_guard")
        while True:
            if time.monotonic() >= self.next_sweep:
                self.drain(connection, None)
                connection.execute(FORGET_PRUNED)
                self.next_sweep = time.monotonic() + self.options.sweep
            self.drain(connection, RECENT)
            self.failures = 0
            if self.options.once:
                return
            # Notifications that have come meanwhile count. There are none with the policy notify off.
            for _ in connection.notifies(timeout=self.options.poll, stop_after=1):
                pass

    def drain(self, connection, younger_than):
        while events := connection.execute(PENDING, (younger_than,)).fetchall():
            for event_id, transaction_id in events:
                (claims,) = connection.execute("SELECT session_guard.security_event(%s)", (event_id,)).fetchone()
                refused = self.receiver.refusal(claims) if claims else "security_event gives no claims"
                if refused:
                    logging.error("event %d is not delivered: %s", event_id, refused)
                connection.execute(DONE, (event_id, transaction_id, refused))
                self.failures = 0


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(message)s")
    arguments = argparse.ArgumentParser()
    arguments.add_argument("dsn", help="libpq's connection string")
    arguments.add_argument("receiver", help="the URL to post to")
    arguments.add_argument("--key", required=True, help="the file of the private key, as PEM")
    arguments.add_argument("--kid", help="the key's name in the header of each token")
    arguments.add_argument("--algorithm", choices=("ES256", "EdDSA", "RS256"), default="ES256")
    arguments.add_argument("--issuer", required=True, help="the claim iss")
    arguments.add_argument("--audience", required=True, help="the claim aud")
    arguments.add_argument("--timeout", type=float, default=10, help="seconds that the receiver may take")
    arguments.add_argument("--pause", type=float, default=1, help="seconds after a failure; twice as long after each more")
    arguments.add_argument("--poll", type=float, default=5, help="seconds between looks without a notification")
    arguments.add_argument("--sweep", type=float, default=600, help="seconds between looks at all events")
    arguments.add_argument("--once", action="store_true", help="end when all is posted, or with an error")
    Consumer(arguments.parse_args()).run()
