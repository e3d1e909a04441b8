"""Closes a user's WebSockets the moment that the sessions end, instead of at the next request.

    python push.py DSN SECRET [PORT]

Needs `ALTER SYSTEM SET session_guard.notify = on` (or ALTER DATABASE … SET), psycopg 3 and websockets. A client sends one
message first: "user_id login_at signature", as its login has been given it (see `ticket`).

A notification carries nothing, and events may commit in another order than that of their ids: so each one has every
connected session asked about again. That is one statement for all of them.
"""

import asyncio
import contextlib
import hashlib
import hmac
import sys

import psycopg
import websockets

SESSION_ENDED = 4401
RETRY_SECONDS = 0.2


def ticket(secret, user_id, login_at):
    """What the app hands out at login: `login_at` is the text of what session_start returned."""
    signature = hmac.new(secret.encode(), f"{user_id}\n{login_at}".encode(), hashlib.sha256).hexdigest()
    return f"{user_id}\t{login_at}\t{signature}"


def read_ticket(secret, message):
    user_id, login_at, _ = message.split("\t")
    if not hmac.compare_digest(message, ticket(secret, user_id, login_at)):
        raise ValueError("a ticket that was not handed out here")
    return user_id, login_at


class Push:
    def __init__(self, dsn, secret):
        self.dsn, self.secret = dsn, secret
        self.sessions = {}  # of each open socket: user id and login time
        self.is_listening = asyncio.Event()

    async def serve(self, socket):
        """One client, from its ticket to the end of its session."""
        try:
            session = read_ticket(self.secret, await asyncio.wait_for(socket.recv(), 10))
        except (ValueError, TimeoutError):
            return await socket.close(SESSION_ENDED, "no session")
        # Registered before it is asked about: what ends it in between is seen by the listener.
        self.sessions[socket] = session
        try:
            await self.is_listening.wait()
            async with await self.connect() as connection:
                await self.close_the_ended(connection, [socket])
            await socket.send("welcome")
            await socket.wait_closed()
        except websockets.ConnectionClosed:
            pass
        except psycopg.Error:
            await socket.close(SESSION_ENDED, "cannot ask")  # An app that gets an error refuses.
        finally:
            self.sessions.pop(socket, None)

    async def listen(self):
        """Asks about everybody at each notification, and after each loss of a connection."""
        while True:
            with contextlib.suppress(psycopg.Error):
                # One to listen and one to ask by: while a connection asks, it would miss what it is told.
                async with await self.connect() as listener, await self.connect() as asker:
                    await listener.execute("LISTEN session_guard")
                    self.is_listening.set()
                    await self.close_the_ended(asker, list(self.sessions))
                    async for _ in listener.notifies():
                        await self.close_the_ended(asker, list(self.sessions))
            self.is_listening.clear()
            await asyncio.sleep(RETRY_SECONDS)

    def connect(self):
        return psycopg.AsyncConnection.connect(self.dsn, autocommit=True)

    async def close_the_ended(self, connection, sockets):
        asked = [(socket, *self.sessions[socket]) for socket in sockets if socket in self.sessions]
        rows = await connection.execute(
            "SELECT session_valid(id, login_at) FROM unnest(%s::text[], %s::timestamptz[]) WITH ORDINALITY"
            " AS session (id, login_at, place) ORDER BY place",
            ([user for _, user, _ in asked], [login for _, _, login in asked]),
        )
        ended = [socket for (socket, _, _), (valid,) in zip(asked, await rows.fetchall()) if not valid]
        await asyncio.gather(*(socket.close(SESSION_ENDED, "session ended") for socket in ended))


async def main(dsn, secret, port="8765"):
    push = Push(dsn, secret)
    async with websockets.serve(push.serve, "127.0.0.1", int(port)) as server:
        print(f"listening on {server.sockets[0].getsockname()[1]}", flush=True)
        await push.listen()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
