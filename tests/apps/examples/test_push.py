"""examples/push posts each event to a receiver until it is taken, and never loses one."""

import http.server
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid

import jwt
import psycopg
import pytest
from conftest import DATABASE
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from python_helpers import EXAMPLES
from python_helpers.databases import connect, create_role
from python_helpers.ports import free_port
from python_helpers.waiting import wait_until

EXAMPLE = EXAMPLES / "push"
ISSUER, AUDIENCE = "https://app.example", "https://receiver.example"
# The longest that a consumer may take, on a slow machine; and a time that no test lasts.
LONGEST, NEVER = 120, 3600
KEYS = {
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
}
EVENTS = "SELECT session_guard.security_event(id) FROM session_guard.event ORDER BY at, id"
REFUSED = {"err": "invalid_request", "description": "no such \0 subject"}


class Receiver:
    """Takes what is signed as it should be, unless the test has planned another answer. A planned answer is a status,
    headers and a body, or a function that is called with the event's jti."""

    def __init__(self):
        self.port, self.algorithm = free_port(), "ES256"
        self.planned, self.posts, self.taken, self.wrong = [], [], [], []

    def start(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            do_POST = lambda handler: self.receive(handler)  # noqa: E731
            log_message = lambda *_: None  # noqa: E731

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def receive(self, handler):
        length = int(handler.headers["Content-Length"])
        token = handler.rfile.read(length)
        # A consumer that was killed between the head of its request and the body has posted nothing.
        if len(token) < length:
            return
        try:
            public_key = KEYS[self.algorithm].public_key()
            claims = jwt.decode(token, public_key, [self.algorithm], audience=AUDIENCE, issuer=ISSUER)
            self.header = jwt.get_unverified_header(token)
            assert self.header["typ"] == "secevent+jwt"
            assert handler.headers["Content-Type"] == "application/secevent+jwt"
            assert handler.headers["Accept"] == "application/json"
            assert handler.headers["Authorization"] == "Bearer of the test"
        except (jwt.InvalidTokenError, AssertionError) as error:
            self.wrong.append(error)
            return
        jti = claims["jti"]
        self.posts.append((time.monotonic(), jti))
        planned = self.planned.pop(0) if self.planned else (202, {}, b"")
        status, headers, body = planned(jti) if callable(planned) else planned
        if status == 202:
            self.taken.append(claims)
        if status is None:
            return
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def posted(self):
        return [jti for _, jti in self.posts]

    def jtis(self):
        return [claims["jti"] for claims in self.taken]


@pytest.fixture
def receiver():
    receiver = Receiver()
    receiver.start()
    yield receiver
    receiver.stop()
    assert not receiver.wrong


def apply_schema(schema):
    psql = ["psql", "-Xq", "-d", DATABASE, "-1", "-v", "ON_ERROR_STOP=1", "-f", EXAMPLE / "schema.sql"]
    subprocess.run(psql, check=True, env={**os.environ, "PGOPTIONS": f"-csearch_path={schema}"})


@pytest.fixture(scope="module")
def role(database):
    """The consumer's, with the rights of schema.sql alone."""
    create_role("push")
    apply_schema("public")
    return "push"


@pytest.fixture
def events(role, db):
    """The claims of the events since the test began; all others are delivered."""
    db.execute("DELETE FROM session_guard.event")
    db.execute("DELETE FROM push_delivery")
    return lambda: [claims for (claims,) in db.execute(EVENTS) if claims]


@pytest.fixture
def start(role, receiver, tmp_path):
    """Starts a consumer, and gives its process; what it logs is in its `log`."""
    started, number = [], itertools.count()

    def start(*options, key=KEYS["ES256"], schema="public"):
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (tmp_path / "key.pem").write_bytes(pem)
        log = tmp_path / f"log{next(number)}"
        command = [sys.executable, EXAMPLE / "push.py", f"dbname={DATABASE} user={role} options=-csearch_path={schema}"]
        command += [f"http://127.0.0.1:{receiver.port}/events", "--key", tmp_path / "key.pem"]
        command += ["--issuer", ISSUER, "--audience", AUDIENCE, *map(str, options)]
        environment = {**os.environ, "PUSH_AUTHORIZATION": "Bearer of the test"}
        with log.open("w") as stderr:
            consumer = subprocess.Popen(command, stderr=stderr, env=environment)
        consumer.log = log.read_text
        started.append(consumer)
        return consumer

    yield start
    for consumer in started:
        consumer.kill()
        consumer.wait()


def jtis_of(events):
    return [claims["jti"] for claims in events()]


def revoke(connection, subject=None):
    connection.execute("SELECT session_guard.revoke_tokens('push', %s)", (subject or str(uuid.uuid4()),))


def wait_for_all(receiver, events):
    """Each event is there, in any order and number."""
    wait_until("all events", lambda: set(receiver.jtis()) == set(jtis_of(events)))


def wait_for_listener(db):
    """A consumer that has posted what there was waits for notifications, or for its next look."""
    idle = "SELECT FROM pg_stat_activity WHERE usename = 'push' AND state = 'idle' AND query LIKE '%FROM session_guard.event%'"
    wait_until("a consumer that waits", lambda: db.execute(idle).rowcount)
    time.sleep(0.1)


@pytest.mark.parametrize("algorithm", KEYS)
def test_each_event_arrives_as_a_signed_token(db, events, receiver, start, algorithm):
    db.execute("UPDATE users SET active = false WHERE id = 30")
    db.execute("SELECT session_guard.revoke_sessions(31, 'lost phone')")
    revoke(db)
    receiver.algorithm = algorithm
    consumer = start("--once", "--algorithm", algorithm, "--kid", "of 2026", key=KEYS[algorithm])
    assert consumer.wait(LONGEST) == 0, consumer.log()
    sent = [claims | {"iss": ISSUER, "aud": AUDIENCE} for claims in events()]
    assert len(sent) == 3
    # The time of issue is that of the token.
    assert [claims | {"iat": 0} for claims in receiver.taken] == [claims | {"iat": 0} for claims in sent]
    assert all(abs(claims["iat"] - time.time()) < 20 for claims in receiver.taken)
    assert receiver.header == {"typ": "secevent+jwt", "alg": algorithm, "kid": "of 2026"}
    assert start("--once").wait(LONGEST) == 0 and len(receiver.posts) == 3


def test_a_receiver_that_is_down_gets_all_events_when_it_is_back(db, events, receiver, start):
    receiver.stop()
    for user in (30, 31, 32):
        db.execute("UPDATE users SET active = false WHERE id = %s", (user,))
    consumer = start("--pause", 0.1)
    wait_until("two failures", lambda: consumer.log().count("trying again") >= 2)
    db.execute("UPDATE users SET active = false WHERE id = 33")
    receiver.start()
    wait_until("all events", lambda: receiver.jtis() == jtis_of(events))
    assert len(receiver.taken) == 4


def json_of(error):
    return json.dumps(error).encode()


NO_ACCEPTANCE = [
    (500, {}, b"down"),
    (503, {"Retry-After": "soon"}, b""),
    (429, {"Retry-After": "0"}, b""),
    (401, {}, b""),
    (403, {}, b""),
    (307, {"Location": "/elsewhere"}, b""),
    (200, {}, b"of a proxy"),
    (400, {}, b"of a proxy"),
    (400, {}, json_of(["err"])),
    (400, {}, json_of({"err": "invalid_key", "description": "unknown kid"})),
    (None, {}, b""),
]


def test_what_is_no_acceptance_is_retried_in_order(db, events, receiver, start):
    consumer = start("--pause", 0.1)
    for number, answer in enumerate(NO_ACCEPTANCE, 1):
        receiver.planned, before = [answer], len(receiver.posts)
        with db.transaction():
            revoke(db)
            revoke(db)
        wait_until(f"both events after {answer}", lambda: len(receiver.taken) == 2 * number)
        first, second = jtis_of(events)[-2:]
        assert receiver.posted()[before:] == [first, first, second], answer
        assert consumer.log().count("trying again in 0.1 s") == number, answer


def test_a_receiver_that_does_not_answer_is_asked_again(db, events, receiver, start):
    is_over = threading.Event()
    receiver.planned = [lambda _: is_over.wait(LONGEST) and (None, {}, b"")]
    revoke(db)
    start("--timeout", 0.5, "--pause", 0.1)
    wait_until("the event", lambda: receiver.taken)
    assert receiver.posted() == jtis_of(events) * 2
    is_over.set()


def test_retry_after_is_kept_to(db, events, receiver, start):
    receiver.planned = [(429, {"Retry-After": "2"}, b"")]
    revoke(db)
    consumer = start("--pause", 0.1)
    wait_until("the event", lambda: receiver.taken)
    (first, _), (second, _) = receiver.posts
    assert second - first >= 2
    assert "trying again in 2 s" in consumer.log()


def test_the_pauses_grow_and_are_short_again_after_a_success(db, events, receiver, start):
    receiver.planned = [(500, {}, b"")] * 3 + [(202, {}, b""), (500, {}, b"")]
    revoke(db)
    revoke(db)
    consumer = start("--pause", 0.2)
    wait_until("both events", lambda: len(receiver.taken) == 2)
    pauses = [line.partition("again in ")[2].split()[0] for line in consumer.log().splitlines()]
    assert pauses == ["0.2", "0.4", "0.8", "0.2"]
    times = [at for at, _ in receiver.posts]
    for pause, before, after in zip([0.2, 0.4, 0.8, 0, 0.2], times, times[1:], strict=False):
        assert after - before >= pause


def test_an_event_that_is_refused_is_told_and_skipped(db, events, receiver, start):
    receiver.planned = [(400, {"Content-Type": "application/json"}, json_of(REFUSED))]
    revoke(db)
    revoke(db)
    consumer = start("--once")
    assert consumer.wait(LONGEST) == 0
    refused, taken = jtis_of(events)
    assert receiver.posted() == [refused, taken]
    number = refused.rpartition("-")[2]
    assert f"event {number} is not delivered" in consumer.log() and "invalid_request" in consumer.log()
    noted = db.execute("SELECT id::text, refused FROM push_delivery WHERE refused IS NOT NULL").fetchall()
    assert [(number, REFUSED)] == [(event, json.loads(why)) for event, why in noted]
    # As schema.sql says.
    db.execute("DELETE FROM push_delivery WHERE refused IS NOT NULL")
    assert start("--once").wait(LONGEST) == 0
    assert receiver.posted() == [refused, taken, refused]


def test_an_event_that_is_no_token_is_skipped(db, events, receiver, start):
    db.execute("SELECT session_guard.revoke_tokens('', 'x')")
    revoke(db)
    assert db.execute("SELECT count(*) FROM session_guard.event").fetchone()[0] == 2
    consumer = start("--once")
    assert consumer.wait(LONGEST) == 0
    assert receiver.jtis() == jtis_of(events) and len(receiver.taken) == 1
    assert "gives no claims" in consumer.log()


def test_an_event_whose_delivery_was_not_noted_is_posted_again_with_the_same_jti(db, events, receiver, start):
    with psycopg.connect(dbname=DATABASE) as holder:
        holder.execute("LOCK push_delivery IN SHARE MODE")
        revoke(db)
        consumer = start()
        waiting = "SELECT pid FROM pg_stat_activity WHERE usename = 'push' AND wait_event_type = 'Lock'"
        (server,) = wait_until("a delivery to be noted", lambda: db.execute(waiting).fetchone())
        assert len(receiver.taken) == 1
        consumer.send_signal(signal.SIGKILL)
        consumer.wait()
        # What it has sent would be done once the lock is gone.
        db.execute("SELECT pg_terminate_backend(%s)", (server,))
        wait_until("no such process", lambda: not db.execute(waiting).rowcount)
    assert start("--once").wait(LONGEST) == 0
    assert receiver.jtis() == jtis_of(events) * 2
    assert start("--once").wait(LONGEST) == 0 and len(receiver.posts) == 2


@pytest.mark.parametrize("notify", [True, False])
def test_an_event_that_commits_after_later_ones_is_not_lost(db, events, receiver, start, notify):
    db.execute("SELECT session_guard.configure(notify => %s)", (notify,))
    try:
        start("--poll", NEVER if notify else 0.2)
        with psycopg.connect(dbname=DATABASE) as early:
            revoke(early, "early")
            revoke(db, "late")
            wait_until("the later event", lambda: len(receiver.taken) == 1)
            early.commit()
        wait_until("the earlier event", lambda: len(receiver.taken) == 2)
    finally:
        db.execute("SELECT session_guard.configure(notify => true)")
    assert receiver.jtis() == jtis_of(events)[::-1]


def test_no_open_transaction_holds_up_others(db, events, receiver, start):
    with psycopg.connect(dbname=DATABASE) as open_transaction:
        revoke(open_transaction)
        revoke(db)
        assert start("--once").wait(LONGEST) == 0
        assert len(receiver.taken) == 1


def test_all_of_many_concurrent_transactions_arrive_whoever_crashes(db, events, receiver, start):
    is_over, rounds = threading.Event(), 5

    def write(seed):
        choice = random.Random(seed)
        with psycopg.connect(dbname=DATABASE) as connection:
            while not is_over.is_set():
                for _ in range(choice.randint(1, 3)):
                    revoke(connection)
                    time.sleep(choice.random() * 0.2)
                connection.commit() if choice.random() < 0.8 else connection.rollback()

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(6)]
    for writer in writers:
        writer.start()
    try:
        for number in range(rounds):
            consumer, before = start("--poll", 0.5, "--pause", 0.1), len(receiver.taken)
            receiver.planned += [(202, {}, b"")] * 10 + [(500, {}, b"")]
            # It has looked many times while transactions were open.
            wait_until("more events", lambda: len(receiver.taken) > before + 40)
            if number < rounds - 1:
                consumer.kill()
                consumer.wait()
    finally:
        is_over.set()
        for writer in writers:
            writer.join()
    wait_for_all(receiver, events)
    taken, sent = receiver.jtis(), jtis_of(events)
    print(f"\n{len(sent)} events, {len(taken) - len(sent)} of them twice, {rounds - 1} crashes")
    assert len(sent) == len(set(sent))
    assert len(taken) - len(sent) < rounds


def test_a_notification_wakes_it(db, events, receiver, start):
    start("--poll", NEVER)
    wait_for_listener(db)
    delays = []
    for number in range(1, 11):
        began = time.monotonic()
        revoke(db)
        wait_until("the event", lambda: len(receiver.taken) == number, pause=0.002)
        delays.append((time.monotonic() - began) * 1000)
    print(f"\nfrom the call to the receiver: longest {max(delays):.0f} ms")
    

def test_a_notification_that_comes_while_it_posts_is_not_lost(db, events, receiver, start):
    start("--poll", NEVER)
    wait_for_listener(db)
    posted, go_on = threading.Event(), threading.Event()
    receiver.planned = [lambda _: posted.set() or go_on.wait(LONGEST) and (202, {}, b"")]
    revoke(db)
    assert posted.wait(LONGEST)
    revoke(db)
    go_on.set()
    wait_until("both", lambda: len(receiver.taken) == 2)


def test_events_restored_from_another_cluster_are_found_by_a_sweep(db, events, receiver, start):
    start("--poll", 0.2, "--sweep", 1)
    revoke(db)
    wait_for_all(receiver, events)
    for number, transaction in (1, 3), (2, 10**18):
        db.execute(
            "INSERT INTO session_guard.event (id, at, scope, subject, epoch, reason, login_role, acting_role, transaction_id)"
            " VALUES (%s, now() - interval '2 years', 'push', 'x', now(), 'admin', 'x', 'x', %s::text::xid8)",
            (number, transaction),
        )
    wait_for_all(receiver, events)
    assert len(receiver.taken) == 3


def test_deliveries_are_forgotten_with_their_events(db, events, receiver, start):
    revoke(db)
    assert start("--once").wait(LONGEST) == 0
    assert db.execute("SELECT count(*) FROM push_delivery").fetchone()[0] == 1
    db.execute("SELECT session_guard.prune(events_older_than => '0')")
    revoke(db)
    assert start("--once").wait(LONGEST) == 0
    assert db.execute("SELECT id FROM push_delivery").fetchall() == db.execute("SELECT id FROM session_guard.event").fetchall()


def test_a_lost_connection_to_the_database_is_made_again(db, events, receiver, start):
    start("--poll", NEVER)
    wait_for_listener(db)
    db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'push'")
    revoke(db)
    wait_for_all(receiver, events)


def test_one_consumer_at_a_time_and_the_next_takes_over(db, events, receiver, start):
    first = start("--poll", NEVER)
    wait_for_listener(db)
    second = start("--once")
    assert second.wait(LONGEST) == 1 and "another consumer" in second.log()
    third = start("--poll", NEVER, "--pause", 0.1)
    wait_until("a refusal", lambda: "another consumer" in third.log())
    first.kill()
    revoke(db)
    wait_for_all(receiver, events)


def test_once_ends_with_an_error_while_the_receiver_is_down(db, events, receiver, start):
    receiver.planned = [(500, {}, b"")]
    revoke(db)
    failed = start("--once")
    assert failed.wait(LONGEST) == 1 and "answered 500" in failed.log()
    assert start("--once").wait(LONGEST) == 0
    wait_for_all(receiver, events)


def test_nothing_is_posted_where_it_cannot_be_noted(db, events, receiver, start):
    revoke(db)
    db.execute("ALTER ROLE push SET default_transaction_read_only = on")
    try:
        assert start("--once").wait(LONGEST) == 1
    finally:
        db.execute("ALTER ROLE push RESET default_transaction_read_only")
    assert not receiver.posts
    with connect(DATABASE) as admin:
        admin.execute("ALTER TABLE push_delivery RENAME TO away")
        try:
            assert start("--once").wait(LONGEST) == 1
        finally:
            admin.execute("ALTER TABLE away RENAME TO push_delivery")
    assert not receiver.posts


def test_a_key_of_another_kind_is_refused_at_the_start(db, events, receiver, start):
    revoke(db)
    assert start("--once", "--algorithm", "ES256", key=KEYS["RS256"]).wait(LONGEST) == 1
    assert not receiver.posts


def test_a_second_receiver_has_a_table_of_its_own(db, events, receiver, start):
    db.execute("CREATE SCHEMA second")
    db.execute("GRANT USAGE ON SCHEMA second TO push")
    apply_schema("second")
    try:
        revoke(db)
        start("--poll", NEVER)
        wait_for_all(receiver, events)
        assert start("--once", schema="second").wait(LONGEST) == 0
        assert receiver.jtis() == jtis_of(events) * 2
    finally:
        db.execute("DROP SCHEMA second CASCADE")
