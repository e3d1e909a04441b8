"""Failovers that Patroni makes: no acknowledged disable is lost, and where one may be, nobody gets in."""

import os
import re
import signal
import time

import psutil
import psycopg
import pytest
from cluster import EXAMPLE, TTL, Cluster, wait_until
from load import CONTROL, Load

USERS = 200_000
STALENESS = 5  # As examples/patroni/patroni.yml says.
HEAD = (EXAMPLE / "patroni.yml").read_text().partition("\nscope:")[0]
POLICIES = re.search(r"SELECT session_guard.configure\(.*?\);", re.sub(r"^#", "", HEAD, flags=re.M), re.S)[0]


@pytest.fixture(scope="module")
def cluster():
    with Cluster() as cluster:
        with cluster.leader().connect() as there:
            there.execute("CREATE TABLE users (id int PRIMARY KEY, active boolean)")
            there.execute(f"INSERT INTO users SELECT n, true FROM generate_series(1, {USERS}) AS n")
            there.execute("CREATE EXTENSION pg_session_guard")
            there.execute("SELECT session_guard.attach('users')")
            there.execute(POLICIES)
        yield cluster


def problems(connection):
    return [row[0] for row in connection.execute("SELECT check_name FROM session_guard.health() WHERE NOT ok")]


def log_in(connection, user):
    return connection.execute("SELECT session_start(%s::bigint)", (user,)).fetchone()[0]


def number(name):
    return int(os.environ.get(name, "3"))


def switch_over(cluster, old):
    cluster.switch_over()
    return cluster.wait_until_led_by_another_than(old)


def kill_server(cluster, old):
    old.kill_server()
    return cluster.wait_until_led_by_another_than(old)


def kill_machine(cluster, old):
    old.kill_machine()
    new = cluster.wait_until_led_by_another_than(old)
    old.start()
    return new


def test_no_acknowledged_disable_is_lost_in_a_switchover_or_a_failover(cluster):
    with cluster.leader().connect() as there:
        control = log_in(there, CONTROL)
    time.sleep(1)
    events = [
        *[("switchover", switch_over)] * number("SWITCHOVERS"),
        *[("server killed", kill_server)] * number("SERVERS_KILLED"),
        *[("machine killed", kill_machine)] * number("MACHINES_KILLED"),
    ]
    began = time.monotonic()
    print()
    with Load(cluster, control) as load:
        for name, change in events:
            time.sleep(2)
            before = len(load.acknowledged)
            assert before
            load.take_gaps()
            new = change(cluster, cluster.leader())
            elected = time.monotonic()
            wait_until("checks that let in again", lambda: min(load.control_valid_at.values()) > elected)
            with new.connect() as there:
                assert load.lost(there) == []
                assert problems(there) == [], "the callback has acknowledged the timeline"
            cluster.wait_until_whole()
            wait_until("disables again", lambda: len(load.acknowledged) > before + 10)
            gap, gap_through_haproxy = load.take_gaps()
            print(
                f"{name}: {before} disables acknowledged before it, none lost; nobody let in for {gap:.1f} s, "
                f"through HAProxy for {gap_through_haproxy:.1f} s"
            )
    with cluster.leader().connect() as there:
        assert load.lost(there) == []
    print(
        f"{len(events)} changes of the leader in {time.monotonic() - began:.0f} s, {len(load.acknowledged)} disables acknowledged "
        f"{load.acknowledged_by}, none lost;\nchecks {load.checks}, wrong: {load.wrong}, let in by a standby after the COMMIT: "
        f"{load.late}, for {load.lateness * 1000:.0f} ms at the most;\nrefusals {load.refused}; answered by a server that was something "
        f"else: {load.by_the_other}"
    )
    assert load.failures == [] and load.wrong == []
    assert min(load.checks.values()) > 100 and min(load.acknowledged_by.values()) > 100
    assert load.lateness <= STALENESS + 0.5


def verdict(connect, user, login):
    """The verdict that a new connection gets; an error is a refusal, too."""
    try:
        with connect() as connection:
            return connection.execute("SELECT session_verdict(%s::bigint, %s)", (user, login)).fetchone()[0]
    except psycopg.Error:
        return "no answer"


def test_a_leader_whose_patroni_hangs_goes_on_answering_until_that_wakes_up(cluster):
    cluster.wait_until_whole()
    old, user = cluster.leader(), USERS - 1
    with old.connect() as there:
        login = log_in(there, user)
    through_haproxy = cluster.connect("write")
    assert through_haproxy.execute("SHOW port").fetchone()[0] == str(old.port)
    patroni = psutil.Process(old.patroni.pid)
    patroni.suspend()
    try:
        new = cluster.wait_until_led_by_another_than(old)
        with new.connect() as here:
            wait_until("a promotion", lambda: not here.execute("SELECT pg_is_in_recovery()").fetchone()[0])
            here.execute("UPDATE users SET active = false WHERE id = %s", (user,))
        wait_until("the callback", lambda: verdict(new.connect, user, login) == "disabled")
        # Nothing in a primary can know that there is another one: that is for a watchdog to prevent.
        assert verdict(old.connect, user, login) == "valid"
        # HAProxy has left the old leader before the ttl was over, and finds the new one by its next check.
        answers = []
        wait_until("HAProxy", lambda: answers.append(verdict(lambda: cluster.connect("write"), user, login)) or answers[-1] == "disabled")
        assert "valid" not in answers
        with pytest.raises(psycopg.OperationalError):
            through_haproxy.execute("SELECT 1")
    finally:
        patroni.resume()
    began = time.monotonic()
    wait_until("no more such answers", lambda: verdict(old.connect, user, login) != "valid")
    print(f"\nthe old leader refused {time.monotonic() - began:.1f} s after its Patroni woke up")
    wait_until("what the new leader says", lambda: verdict(old.connect, user, login) == "disabled")
    cluster.wait_until_whole()


def test_after_a_failover_that_lost_a_disable_nobody_gets_in_until_somebody_has_said_so(cluster):
    asynchronous = {
        "synchronous_mode": False,
        "synchronous_mode_strict": False,
    }
    with cluster.leader().connect() as there:
        there.execute("SELECT session_guard.configure(revocation_durability => 'local')")
    assert cluster.ask("/config", asynchronous, "PATCH")
    cluster.wait_until_whole(is_synchronous=False)
    old = cluster.leader()
    user = USERS
    with old.connect() as there:
        wait_until("no synchronous standby", lambda: there.execute("SHOW synchronous_standby_names").fetchone()[0] == "")
        login = log_in(there, user)
        wait_until(
            "both standbys up to date",
            lambda: there.execute("SELECT count(*) = 2 FROM pg_stat_replication WHERE replay_lsn = sent_lsn").fetchone()[0],
        )
        for (sender,) in there.execute("SELECT pid FROM pg_stat_replication").fetchall():
            os.kill(sender, signal.SIGSTOP)
        there.execute("UPDATE users SET active = false WHERE id = %s", (user,))
        assert there.execute("SELECT session_verdict(%s::bigint, %s)", (user, login)).fetchone()[0] == "disabled"
    began = time.monotonic()
    new = kill_machine(cluster, old)
    print(f"\nanother leader {time.monotonic() - began:.1f} s after the kill, at a ttl of {TTL} s")
    with new.connect() as here:
        wait_until("a promotion", lambda: not here.execute("SELECT pg_is_in_recovery()").fetchone()[0])
        time.sleep(3)  # Time enough for the callback.
        assert here.execute("SELECT active FROM users WHERE id = %s", (user,)).fetchone()[0], "the disable is lost"
        assert problems(here) == ["timeline"]
        assert here.execute("SELECT session_verdict(%s::bigint, %s)", (user, login)).fetchone()[0] == "unacknowledged_timeline"
        (remedy,) = here.execute("SELECT remedy FROM session_guard.health() WHERE check_name = 'timeline'").fetchone()
        here.execute(remedy)
        assert here.execute("SELECT session_verdict(%s::bigint, %s)", (user, login)).fetchone()[0] == "revoked"
        assert problems(here) == []
    cluster.wait_until_whole(is_synchronous=False)
