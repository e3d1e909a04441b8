"""The listener of examples/websocket closes the sockets of ended sessions at once, and no others."""

import asyncio
import base64
import os
import statistics
import subprocess
import sys
import time

import psycopg
import pytest
import websockets
from conftest import DATABASE
from listener import SESSION_ENDED, ticket
from python_helpers import EXAMPLES

SECRET = "of the test alone"
SERVER = EXAMPLES / "websocket" / "listener.py"
# The longest that anything may take, on a slow machine that is busy with more.
PATIENCE = 120
# How long websockets waits for a client to answer a close.
HANDSHAKE = 10


@pytest.fixture
def port(request):
    """That of a listener which asks again so late that only a notification can close in time, by default."""
    recheck = getattr(request, "param", 3600)
    command = [sys.executable, SERVER, f"dbname={DATABASE} application_name=listener", SECRET, "0", str(recheck)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        yield int(server.stdout.readline().split()[-1])
        server.terminate()


async def connect(port, user, login_at, secret=SECRET):
    socket = await websockets.connect(f"ws://127.0.0.1:{port}")
    await socket.send(ticket(secret, user, login_at))
    return socket


async def enter(port, user, login_at):
    socket = await connect(port, user, login_at)
    assert await asyncio.wait_for(socket.recv(), PATIENCE) == "welcome"
    return socket


async def seconds_until_closed(socket, began):
    await asyncio.wait_for(socket.wait_closed(), PATIENCE)
    assert socket.close_code == SESSION_ENDED
    return time.monotonic() - began


async def stays_open(socket):
    await asyncio.sleep(0.3)
    await asyncio.wait_for(await socket.ping(), PATIENCE)


def test_the_socket_of_a_disabled_user_closes_at_once_and_no_other(port, db, log_in):
    async def story():
        other = await enter(port, 2, log_in(2))
        delays = []
        for _ in range(20):
            socket = await enter(port, 1, log_in(1))
            began = time.monotonic()
            db.execute("UPDATE users SET active = false WHERE id = 1")
            delays.append(await seconds_until_closed(socket, began))
            db.execute("UPDATE users SET active = true WHERE id = 1")
        await stays_open(other)
        return delays

    delays = [delay * 1000 for delay in asyncio.run(story())]
    print(f"\nfrom the UPDATE to the closed socket: median {statistics.median(delays):.1f} ms, longest {max(delays):.1f} ms")


@pytest.mark.parametrize(
    "ending",
    [
        "SELECT session_guard.revoke_sessions(3)",
        "SELECT session_guard.revoke_all_sessions()",
        "UPDATE users SET password = password || 'x' WHERE id = 3",
        "DELETE FROM users WHERE id = 3",
    ],
)
def test_so_it_does_for_every_other_reason(port, db, log_in, ending):
    async def story():
        db.execute("INSERT INTO users VALUES (3, true, 'secret') ON CONFLICT DO NOTHING")
        socket = await enter(port, 3, log_in(3))
        db.execute(ending)
        await seconds_until_closed(socket, time.monotonic())

    asyncio.run(story())


def test_a_disable_that_is_rolled_back_closes_nothing(port, db, log_in):
    async def story():
        socket = await enter(port, 4, log_in(4))
        with psycopg.connect(dbname=DATABASE) as connection:
            connection.execute("UPDATE users SET active = false WHERE id = 4")
            connection.rollback()
        await stays_open(socket)

    asyncio.run(story())


def test_what_happens_while_the_database_is_out_of_reach_is_seen_after_that(port, db, log_in):
    async def story():
        socket = await enter(port, 5, log_in(5))
        db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'listener'"
        )
        db.execute("UPDATE users SET active = false WHERE id = 5")
        db.execute("UPDATE users SET active = true WHERE id = 5")
        await seconds_until_closed(socket, time.monotonic())

    asyncio.run(story())


def test_a_session_that_has_ended_is_not_let_in_nor_a_forged_one(port, db, log_in):
    async def story():
        login = log_in(6)
        db.execute("SELECT session_guard.revoke_sessions(6)")
        await seconds_until_closed(await connect(port, 6, login), time.monotonic())
        forged = await connect(port, 6, log_in(6), secret="another")
        await seconds_until_closed(forged, time.monotonic())

    asyncio.run(story())


@pytest.mark.parametrize("junk", ["", "é\tx\ty", "1\t2\té", b"1\t2\t3"])
def test_what_is_no_ticket_is_refused_as_a_forged_one_is(port, junk):
    async def story():
        socket = await websockets.connect(f"ws://127.0.0.1:{port}")
        await socket.send(junk)
        await seconds_until_closed(socket, time.monotonic())

    asyncio.run(story())


async def enter_mute(port, user, login_at):
    """A client that reads nothing after its welcome, so that it never answers a close."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET / HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    message = ticket(SECRET, user, login_at).encode()
    assert len(message) < 126  # One frame of text, whose mask is zero.
    writer.write(bytes([0x81, 0x80 | len(message), 0, 0, 0, 0]) + message)
    assert (await asyncio.wait_for(reader.readexactly(9), PATIENCE)).endswith(b"welcome")
    return writer


def test_a_client_that_answers_nothing_keeps_nobody_else_in(port, db, log_in):
    async def story():
        mute, other = await enter_mute(port, 14, log_in(14)), await enter(port, 15, log_in(15))
        db.execute("UPDATE users SET active = false WHERE id = 14")
        await asyncio.sleep(0.2)
        db.execute("UPDATE users SET active = false WHERE id = 15")
        assert await seconds_until_closed(other, time.monotonic()) < HANDSHAKE
        mute.close()

    asyncio.run(story())


def test_nor_does_a_client_that_says_more_than_anybody_reads(port, db, log_in):
    async def story():
        socket = await enter(port, 16, log_in(16))
        for _ in range(200):
            await socket.send("x" * 100)
        db.execute("UPDATE users SET active = false WHERE id = 16")
        assert await seconds_until_closed(socket, time.monotonic()) < HANDSHAKE

    asyncio.run(story())


@pytest.mark.parametrize("port", [1], indirect=True)
def test_a_session_that_ends_by_its_age_is_closed_though_nothing_notifies(port, db, log_in):
    async def story():
        socket = await enter(port, 17, log_in(17))
        attach = "SELECT session_guard.attach('users', max_session_age => %s::interval)"
        db.execute(attach, ("1 second",))
        try:
            await seconds_until_closed(socket, time.monotonic())
        finally:
            db.execute(attach, ("0",))

    asyncio.run(story())
