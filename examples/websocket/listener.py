"""Closes a user's WebSockets the moment that the sessions end, instead of at the next request.

    python listener.py DSN SECRET [PORT [SECONDS]]

Needs psycopg 3 and websockets, and in the database:

    SELECT session_guard.configure(notify => true);
    SELECT session_guard.grant_access('listener');   -- the role of the DSN, unless it owns the users table

A client sends one message first: the ticket that its login has been given (see `ticket`).

A notification carries nothing, and events may commit in another order than that of their ids: so each one has every
connected session asked about again. That is one statement for all of them. So they are every SECONDS (30): there is no
notification of a session that ends by its age, of a connection that has died in silence, or while PostgreSQL's queue
of notifications is half full.
"""

import asyncio
import contextlib
import hashlib
import hmac
import sys

import psycopg
import websockets

SESSION_ENDED = 4401
TRY_AGAIN_LATER = 1013
RETRY_SECONDS = 0.2
# Over TCP, a server that is gone without a word is found out in half a minute.
CONNECTION = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}


def ticket(secret, user_id, login_at):
    """What the app hands out at login: `login_at` is the text of what session_start returned."""
    signature = hmac.new(secret.encode(), f"{user_id}\n{login_at}".encode(), hashlib.sha256).hexdigest()
    return f"{user_id}\t{login_at}\t{signature}"


def read_ticket(secret, message):
    user_id, login_at, _ = message.split("\t")
    # As bytes: of texts, it compares ASCII only.
    if not hmac.compare_digest(message.encode(), ticket(secret, user_id, login_at).encode()):
        raise ValueError("a ticket that was not handed out here")
    return user_id, login_at


class Listener:
    def __init__(self, dsn, secret, recheck_seconds):
        self.dsn, self.secret, self.recheck_seconds = dsn, secret, recheck_seconds
        self.sessions = {}  # of each open socket: user id and login time
        self.is_listening = asyncio.Event()
        self.closing = set()

    async def serve(self, socket):
        """One client, from its ticket to the end of its session."""
        try:
            session = read_ticket(self.secret, await asyncio.wait_for(socket.recv(decode=True), 10))
            # Registered before it is asked about: what ends it in between is seen by the listener.
            self.sessions[socket] = session
            await self.is_listening.wait()
            async with await self.connect() as connection:
                has_ended = await self.ended(connection, [socket])
            if has_ended:
                return await socket.close(SESSION_ENDED, "session ended")
            await socket.send("welcome")
            async for _ in socket:  # Read, or its answer to a close would wait behind what it has sent.
                pass
        except (ValueError, TimeoutError):
            await socket.close(SESSION_ENDED, "no session")
        except psycopg.Error:
            await socket.close(TRY_AGAIN_LATER, "cannot ask")  # An app that gets an error refuses.
        except websockets.ConnectionClosed:
            pass
        finally:
            self.sessions.pop(socket, None)

    async def listen(self):
        """Asks about everybody at each notification, and after each loss of a connection."""
        while True:
            try:
                # One to listen and one to ask by: while a connection asks, it would miss what it is told.
                async with await self.connect() as listener, await self.connect() as asker:
                    await listener.execute("LISTEN session_guard")
                    self.is_listening.set()
                    while True:
                        for socket in await self.ended(asker, list(self.sessions)):
                            self.close(socket)
                        # Those that have come together are one reason to ask, and none is one as well.
                        async for _ in listener.notifies(timeout=self.recheck_seconds, stop_after=1):
                            pass
            except psycopg.Error as error:
                print(f"cannot ask, trying again: {error}", file=sys.stderr, flush=True)
            self.is_listening.clear()
            await asyncio.sleep(RETRY_SECONDS)

    def close(self, socket):
        """In a task of its own: nobody waits for a client that does not answer, for up to 10 seconds."""
        task = asyncio.create_task(socket.close(SESSION_ENDED, "session ended"))
        self.closing.add(task)
        task.add_done_callback(self.closing.discard)

    def connect(self):
        return psycopg.AsyncConnection.connect(self.dsn, autocommit=True, **CONNECTION)

    async def ended(self, connection, sockets):
        """Those whose session does not count any more."""
        sessions = [self.sessions[socket] for socket in sockets]
        rows = await connection.execute(
            "SELECT session_valid(id, login_at) FROM unnest(%s::text[], %s::timestamptz[]) WITH ORDINALITY"
            " AS session (id, login_at, place) ORDER BY place",
            ([user for user, _ in sessions], [login for _, login in sessions]),
        )
        return [socket for socket, (valid,) in zip(sockets, await rows.fetchall()) if not valid]


async def main(dsn, secret, port="8765", recheck_seconds="30"):
    listener = Listener(dsn, secret, float(recheck_seconds))
    async with websockets.serve(listener.serve, "127.0.0.1", int(port)) as server:
        print(f"listening on {server.sockets[0].getsockname()[1]}", flush=True)
        await listener.listen()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
