"""The queries of examples/monitoring run with the grants beside them, and the dashboard shows what the exporter exports."""

import json
import os
import re
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import promql_parser
import psycopg
import pytest
import yaml

EXAMPLE = Path(__file__).parents[2] / "examples" / "monitoring"
QUERIES = yaml.safe_load((EXAMPLE / "queries.yaml").read_text())
GRANTS = [line for line in (EXAMPLE / "grants.sql").read_text().splitlines() if line.startswith(("CREATE", "GRANT"))]
DASHBOARD = json.loads((EXAMPLE / "dashboard.json").read_text())
ALERTS = yaml.safe_load((EXAMPLE / "alerts.yml").read_text())
USERS = 100


def connect(host, user="postgres"):
    return psycopg.connect(host=host, user=user, dbname="postgres", autocommit=True)


@pytest.fixture(scope="session", autouse=True)
def primary():
    with connect(os.environ["PRIMARY"]) as there:
        there.execute("CREATE TABLE users (id int PRIMARY KEY, active boolean)")
        there.execute(f"INSERT INTO users SELECT n, true FROM generate_series(1, {USERS}) AS n")
        there.execute("CREATE TABLE user_role (user_id int, role int)")
        there.execute("CREATE TABLE user_group (user_id int, team int)")
        there.execute("CREATE EXTENSION pg_session_guard")
        there.execute("SELECT session_guard.attach('users')")
        # Two findings of one check, which must not become one metric twice.
        there.execute("SELECT session_guard.watch('user_role', 'user_id'), session_guard.watch('user_group', 'user_id')")
        there.execute("UPDATE users SET active = false WHERE id <= 10")
        there.execute("DELETE FROM users WHERE id <= 3")
        there.execute("SELECT session_guard.revoke_sessions(20, 'lost phone')")
        for statement in GRANTS:
            there.execute(statement)
        yield there


@pytest.fixture(scope="session")
def standby(primary):
    with connect(os.environ["STANDBY"]) as here:
        sent = primary.execute("SELECT pg_current_wal_lsn()").fetchone()[0]
        deadline = time.monotonic() + 30
        while not here.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (sent,)).fetchone()[0]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield here


def answers(host, group):
    with connect(host, "guard_monitor") as monitor:
        cursor = monitor.execute(QUERIES[group]["query"])
        return [column.name for column in cursor.description], cursor.fetchall()


@pytest.mark.parametrize("group", QUERIES)
@pytest.mark.parametrize("server", ["PRIMARY", "STANDBY"])
def test_each_query_runs_with_the_grants_and_returns_the_columns_that_are_named(group, server, standby):
    columns, _rows = answers(os.environ[server], group)
    assert columns == [name for metric in QUERIES[group]["metrics"] for name in metric]


def test_each_grant_is_needed(primary, standby):
    def everything():
        result = {}
        for server in ("PRIMARY", "STANDBY"):
            for group in QUERIES:
                try:
                    rows = answers(os.environ[server], group)[1]
                except psycopg.errors.InsufficientPrivilege:
                    rows = "refused"
                # Times pass; whether there is one is what counts.
                result[server, group] = rows if group not in ("session_guard_standby", "session_guard_replica") else [
                    [value is None or isinstance(value, str) and value for value in row] for row in rows
                ]
        return result

    def settle():
        sent = primary.execute("SELECT pg_current_wal_insert_lsn()").fetchone()[0]
        deadline = time.monotonic() + 30
        while not standby.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (sent,)).fetchone()[0]:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    before = everything()
    assert "refused" not in before.values()
    for grant in GRANTS[1:]:
        primary.execute(grant.replace("GRANT", "REVOKE", 1).replace(" TO ", " FROM "))
        settle()
        assert everything() != before, f"not needed: {grant}"
        primary.execute(grant)
        settle()
    assert everything() == before


def exported(host):
    """What the real exporter says, by metric: its samples, each with its labels."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [os.environ["EXPORTER"], f"--web.listen-address=127.0.0.1:{port}", f"--extend.query-path={EXAMPLE / 'queries.yaml'}"]
    command += ["--disable-default-metrics", "--disable-settings-metrics"]
    source = f"host={host} user=guard_monitor dbname=postgres sslmode=disable"
    with subprocess.Popen(command, env={"DATA_SOURCE_NAME": source}, stderr=subprocess.PIPE, text=True) as exporter:
        deadline = time.monotonic() + 30
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
                    text = response.read().decode()
                break
            except OSError:
                assert time.monotonic() < deadline and exporter.poll() is None, exporter.stderr.read()
                time.sleep(0.1)
        exporter.terminate()
        complaints = [line for line in exporter.stderr if "level=error" in line]
    assert complaints == []
    samples = {}
    for name, labels, value in re.findall(r"^(session_guard_\w+)(?:\{(.*)\})? (\S+)$", text, re.MULTILINE):
        samples.setdefault(name, []).append((dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value)))
    return samples


@pytest.fixture(scope="session")
def metrics(primary, standby):
    return {server: exported(os.environ[server]) for server in ("PRIMARY", "STANDBY")}


def value(samples, name, **labels):
    return [number for of_sample, number in samples[name] if labels.items() <= of_sample.items()]


def test_the_exporter_exports_what_has_happened(metrics):
    of_primary = metrics["PRIMARY"]
    assert value(of_primary, "session_guard_guards_attached") == [1]
    assert value(of_primary, "session_guard_health_not_ok", check_name="armed", guard="users") == [0]
    assert value(of_primary, "session_guard_events_last_5_minutes", reason="disabled") == [10]
    assert value(of_primary, "session_guard_events_last_5_minutes", reason="deleted") == [3]
    assert value(of_primary, "session_guard_events_last_5_minutes", reason="admin") == [1]
    assert value(of_primary, "session_guard_epochs_total") == [11]
    assert value(of_primary, "session_guard_epochs_tombstones") == [3]
    assert value(of_primary, "session_guard_replica_connected") == [1]
    assert value(of_primary, "session_guard_size_bytes", table="event")[0] > 0
    assert "session_guard_standby_replay_seconds" not in of_primary
    of_standby = metrics["STANDBY"]
    assert value(of_standby, "session_guard_standby_replay_seconds") == [0]
    assert 0 <= value(of_standby, "session_guard_standby_silence_seconds")[0] < 60
    assert value(of_standby, "session_guard_health_not_ok", check_name="standby") == [0]


def test_a_guard_that_is_not_armed_shows(primary, standby):
    primary.execute("ALTER TABLE users DISABLE TRIGGER ALL")
    try:
        samples = exported(os.environ["PRIMARY"])
        assert value(samples, "session_guard_health_not_ok", check_name="armed") == [1]
    finally:
        primary.execute("SELECT session_guard.reconcile()")


def expressions():
    for panel in DASHBOARD["panels"]:
        assert panel["targets"], panel["title"]
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


@pytest.mark.parametrize("title, expression", list(expressions()))
def test_each_expression_is_promql_over_metrics_that_are_exported(title, expression, metrics):
    promql_parser.parse(expression)
    names = set(re.findall(r"session_guard_\w+", expression))
    assert names and names <= metrics["PRIMARY"].keys() | metrics["STANDBY"].keys()


def test_the_dashboard_shows_each_metric_and_has_what_grafana_asks_for(metrics):
    shown = {name for panel in DASHBOARD["panels"] for target in panel["targets"] for name in re.findall(r"session_guard_\w+", target["expr"])}
    assert shown == metrics["PRIMARY"].keys() | metrics["STANDBY"].keys()
    assert DASHBOARD["title"] and DASHBOARD["uid"] and DASHBOARD["schemaVersion"] >= 16
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = set()
    for panel in panels:
        assert panel["type"] in ("stat", "table", "timeseries") and panel["datasource"]["uid"] == "${datasource}"
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert place["x"] + place["w"] <= 24 and not cells & places, panel["title"]
        places |= cells
