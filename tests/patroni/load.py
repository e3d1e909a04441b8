"""Clients that disable accounts, and clients that check sessions, all the time."""

import itertools
import random
import threading
import time

import psycopg

WORKERS = 4
CONTROL = 1  # An account that nobody disables.


class Load:
    def __init__(self, cluster, control_login):
        self.cluster, self.control_login = cluster, control_login
        self.next_id = itertools.count(CONTROL + 1)
        self.acknowledged = []  # Account, login time, and when its COMMIT had returned.
        self.wrong = []  # What the leader still let in.
        self.lateness = 0.0  # How long after a COMMIT a standby still let in.
        self.late = 0
        self.checks = {"read-write": 0, "standby": 0}
        self.refused = {"read-write": 0, "standby": 0}
        self.control_valid_at = time.monotonic()
        self.gaps = []  # How long nobody was let in by the leader.
        self.failures = []
        self.is_over = threading.Event()
        jobs = [(self.disable, "read-write")] * WORKERS + [(self.check, "read-write"), (self.check, "standby"), (self.check, "standby")]
        self.threads = [threading.Thread(target=self.repeat, args=job) for job in jobs]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        for thread in self.threads:
            thread.join()

    def repeat(self, step, target):
        """An error is a refusal: connect again, and go on."""
        while not self.is_over.is_set():
            try:
                with psycopg.connect(self.cluster.conninfo(target), autocommit=True) as connection:
                    # The guard waits although the caller does not ask for it.
                    connection.execute("SET synchronous_commit = local")
                    while not self.is_over.is_set():
                        step(connection, target)
            except psycopg.Error:
                time.sleep(0.05)
            except Exception as error:
                self.failures.append(error)
                raise

    def disable(self, connection, _target):
        user = next(self.next_id)
        login = connection.execute("SELECT session_start(%s::bigint)", (user,)).fetchone()[0]
        if login is None:
            time.sleep(0.02)
            return
        connection.execute("UPDATE users SET active = false WHERE id = %s", (user,))
        self.acknowledged.append((user, login, time.monotonic()))
        if user % 2:
            # Only the stamp tells now.
            connection.execute("UPDATE users SET active = true WHERE id = %s", (user,))

    def check(self, connection, target):
        verdict = "SELECT session_verdict(%s::bigint, %s)"
        if known := len(self.acknowledged):
            user, login, committed_at = self.acknowledged[-1 - min(known - 1, int(random.expovariate(0.2)))]
            asked_at = time.monotonic()
            answer = connection.execute(verdict, (user, login)).fetchone()[0]
            self.checks[target] += 1
            if answer == "valid" and target == "read-write":
                self.wrong.append(user)
            elif answer == "valid":
                self.late += 1
                self.lateness = max(self.lateness, asked_at - committed_at)
        answer = connection.execute(verdict, (CONTROL, self.control_login)).fetchone()[0]
        if answer != "valid":
            self.refused[target] += 1
        elif target == "read-write":
            now = time.monotonic()
            self.gaps.append(now - self.control_valid_at)
            self.control_valid_at = now
        time.sleep(0.002)

    def lost(self, connection):
        """The acknowledged disables that the server knows nothing of."""
        users, logins, _ = zip(*self.acknowledged.copy())
        rows = connection.execute(
            "SELECT id FROM unnest(%s::bigint[], %s::timestamptz[]) AS a (id, login) WHERE session_valid(id, login)",
            (list(users), list(logins)),
        )
        return [user for (user,) in rows]
