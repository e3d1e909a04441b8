"""Clients that disable accounts, and clients that check sessions, all the time."""

import itertools
import random
import threading
import time

import psycopg

# How libpq finds a server by itself, and the ports of HAProxy.
TO_LEADER = ["read-write", "write"]
TO_STANDBY = ["standby", "read"]
WORKERS = 2  # Of each way.
CONTROL = 1  # An account that nobody disables.


class Load:
    def __init__(self, cluster, control_login):
        self.cluster, self.control_login = cluster, control_login
        self.next_id = itertools.count(CONTROL + 1)
        self.acknowledged = []  # Account, login time, and when its COMMIT had returned.
        self.acknowledged_by = dict.fromkeys(TO_LEADER, 0)
        self.wrong = []  # What was let in where the leader should answer.
        self.lateness = 0.0  # How long after a COMMIT a standby still let in.
        self.late = dict.fromkeys(TO_STANDBY, 0)
        self.checks = dict.fromkeys(TO_LEADER + TO_STANDBY, 0)
        self.by_the_other = dict.fromkeys(TO_LEADER + TO_STANDBY, 0)  # A standby's answer where the leader should give it, or the reverse.
        self.refused = dict.fromkeys(TO_LEADER + TO_STANDBY, 0)
        self.control_valid_at = dict.fromkeys(TO_LEADER, time.monotonic())
        self.gaps = {way: [] for way in TO_LEADER}  # How long nobody was let in by the leader.
        self.failures = []
        self.is_over = threading.Event()
        jobs = [(self.disable, way) for way in TO_LEADER * WORKERS] + [(self.check, way) for way in TO_LEADER + TO_STANDBY]
        self.threads = [threading.Thread(target=self.repeat, args=job) for job in jobs]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        for thread in self.threads:
            thread.join()

    def repeat(self, step, way):
        """An error is a refusal: connect again, and go on."""
        while not self.is_over.is_set():
            try:
                with self.cluster.connect(way) as connection:
                    # The guard waits although the caller does not ask for it.
                    connection.execute("SET synchronous_commit = local")
                    while not self.is_over.is_set():
                        step(connection, way)
            except psycopg.Error:
                time.sleep(0.05)
            except Exception as error:
                self.failures.append(error)
                raise

    def disable(self, connection, way):
        user = next(self.next_id)
        login = connection.execute("SELECT session_start(%s::bigint)", (user,)).fetchone()[0]
        if login is None:
            time.sleep(0.02)
            return
        connection.execute("UPDATE users SET active = false WHERE id = %s", (user,))
        self.acknowledged.append((user, login, time.monotonic()))
        self.acknowledged_by[way] += 1
        if user % 2:
            # Only the stamp shows it now.
            connection.execute("UPDATE users SET active = true WHERE id = %s", (user,))

    def check(self, connection, way):
        verdict = "SELECT session_verdict(%s::bigint, %s), pg_is_in_recovery()"
        if known := len(self.acknowledged):
            user, login, committed_at = self.acknowledged[-1 - min(known - 1, int(random.expovariate(0.2)))]
            asked_at = time.monotonic()
            answer, is_standby = connection.execute(verdict, (user, login)).fetchone()
            self.checks[way] += 1
            self.by_the_other[way] += is_standby == (way in TO_LEADER)
            if answer == "valid" and way in TO_LEADER:
                self.wrong.append((way, user, is_standby, asked_at - committed_at))
            elif answer == "valid":
                self.late[way] += 1
                self.lateness = max(self.lateness, asked_at - committed_at)
        answer, _ = connection.execute(verdict, (CONTROL, self.control_login)).fetchone()
        if answer != "valid":
            self.refused[way] += 1
        elif way in TO_LEADER:
            now = time.monotonic()
            self.gaps[way].append(now - self.control_valid_at[way])
            self.control_valid_at[way] = now
        time.sleep(0.002)

    def take_gaps(self):
        """The longest time that nobody was let in, by libpq alone and through HAProxy, since this was last asked."""
        longest = [max(gaps, default=0) for gaps in self.gaps.values()]
        for gaps in self.gaps.values():
            gaps.clear()
        return longest

    def lost(self, connection):
        """The acknowledged disables that the server knows nothing of."""
        users, logins, _ = zip(*self.acknowledged.copy())
        rows = connection.execute(
            "SELECT id FROM unnest(%s::bigint[], %s::timestamptz[]) AS a (id, login) WHERE session_valid(id, login)",
            (list(users), list(logins)),
        )
        return [user for (user,) in rows]
