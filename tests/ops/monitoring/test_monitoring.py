"""The queries of examples/monitoring run with the grants beside them; the dashboard and the alerts show what they export."""

import json
import os
import re
import subprocess
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager

import psycopg
import pytest
import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from python_helpers import EXAMPLES
from python_helpers.ports import free_port
from python_helpers.waiting import wait_until

EXAMPLE = EXAMPLES / "monitoring"
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
        wait_for_replay(primary, here)
        yield here


def wait_for_replay(primary, standby):
    written = primary.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
    replayed = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
    wait_until("replayed", lambda: standby.execute(replayed, written).fetchone()[0])


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

    before = everything()
    assert "refused" not in before.values()
    for grant in GRANTS[1:]:
        primary.execute(grant.replace("GRANT", "REVOKE", 1).replace(" TO ", " FROM "))
        wait_for_replay(primary, standby)
        assert everything() != before, f"not needed: {grant}"
        primary.execute(grant)
        wait_for_replay(primary, standby)
    assert everything() == before


@contextmanager
def exporter_of(host, queries=EXAMPLE / "queries.yaml"):
    """The real exporter, and where it answers."""
    port = free_port()
    command = [os.environ["EXPORTER"], f"--web.listen-address=127.0.0.1:{port}", f"--extend.query-path={queries}"]
    command += ["--disable-default-metrics", "--disable-settings-metrics"]
    source = f"host={host} user=guard_monitor dbname=postgres sslmode=disable"
    with subprocess.Popen(command, env={"DATA_SOURCE_NAME": source}, stderr=subprocess.PIPE, text=True) as exporter:
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/").close()
                break
            except OSError:
                assert time.monotonic() < deadline and exporter.poll() is None, exporter.stderr.read()
                time.sleep(0.1)
        try:
            yield f"127.0.0.1:{port}"
        finally:
            exporter.terminate()
            complaints = [line for line in exporter.stderr if "level=error" in line]
    assert complaints == []


def exported(host):
    """What the exporter says, by metric: its samples, each with its labels."""
    with exporter_of(host) as address, urllib.request.urlopen(f"http://{address}/metrics") as response:
        text = response.read().decode()
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
    assert value(of_primary, "session_guard_health_not_ok", check_name="armed", guard="public.users") == [0]
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


class Prometheus:
    """The real one. It asks the exporters of both servers, each second."""

    def __init__(self, address):
        self.address = address

    def get(self, path, **arguments):
        query = urllib.parse.urlencode(arguments)
        with urllib.request.urlopen(f"http://{self.address}/api/v1/{path}?{query}") as response:
            return json.load(response)["data"]

    def values(self, expression):
        result = self.get("query", query=expression)["result"]
        return {tuple(sorted(series["metric"].items())): float(series["value"][1]) for series in result}

    def eventually(self, condition):
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline, (self.alerts(), self.values("session_guard_health_not_ok"))
            time.sleep(0.2)

    def alerts(self):
        return {alert["labels"]["alertname"]: alert["state"] for alert in self.get("alerts")["alerts"]}


@pytest.fixture(scope="session")
def prometheus(primary, standby, tmp_path_factory):
    folder, address = tmp_path_factory.mktemp("prometheus"), f"127.0.0.1:{free_port()}"
    # Nobody waits five minutes for what the exporter keeps.
    queries = folder / "queries.yaml"
    queries.write_text(re.sub(r"cache_seconds: \d+", "cache_seconds: 1", (EXAMPLE / "queries.yaml").read_text()))
    with exporter_of(os.environ["PRIMARY"], queries) as of_primary, exporter_of(os.environ["STANDBY"], queries) as of_standby:
        configuration = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(EXAMPLE / "alerts.yml")],
            "scrape_configs": [{"job_name": "postgres", "static_configs": [{"targets": [of_primary, of_standby]}]}],
        }
        (folder / "prometheus.yml").write_text(json.dumps(configuration))
        command = [os.environ["PROMETHEUS"], f"--config.file={folder / 'prometheus.yml'}", f"--web.listen-address={address}"]
        log = (folder / "log").open("w+")
        with subprocess.Popen([*command, f"--storage.tsdb.path={folder / 'data'}"], stderr=log) as server:
            there = Prometheus(address)

            def has_all():
                try:
                    return len(there.values("session_guard_guards_attached")) == 2 and there.get("rules")["groups"]
                except OSError:
                    assert server.poll() is None, (folder / "log").read_text()

            try:
                there.eventually(has_all)
                yield there
            finally:
                server.terminate()


def shown(expression):
    """As Grafana asks for it, with all servers chosen."""
    return expression.replace("$instance", ".*")


PANELS = [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]]


@pytest.mark.parametrize("title, expression", PANELS)
def test_each_panel_shows_something(title, expression, prometheus):
    assert prometheus.values(shown(expression))


def test_a_dashboard_tells_of_one_server_or_of_all(prometheus):
    variable = next(variable for variable in DASHBOARD["templating"]["list"] if variable["name"] == "instance")
    metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()
    instances = prometheus.get(f"label/{label}/values", **{"match[]": metric})
    assert len(instances) == 2
    of_one = [len(prometheus.values(f'{metric}{{instance=~"{instance}"}}')) for instance in instances]
    assert of_one == [1, 1]


def test_the_dashboard_is_all_of_it_what_grafana_knows():
    plugins.register_default_plugins()
    known = json.loads(JSONEncoder().encode(Dashboard.from_json(DASHBOARD)))

    def unknown(here, there, path):
        if isinstance(here, dict) and isinstance(there, dict):
            for key, value in here.items():
                yield from unknown(value, there.get(key), f"{path}.{key}")
        elif isinstance(here, list) and isinstance(there, list) and len(here) == len(there):
            for number, (value, other) in enumerate(zip(here, there)):
                yield from unknown(value, other, f"{path}[{number}]")
        elif here != there:
            yield path

    assert list(unknown(DASHBOARD, known, "dashboard")) == []


def test_the_dashboard_shows_each_metric_and_no_panel_covers_another(metrics):
    names = {name for _title, expression in PANELS for name in re.findall(r"session_guard_\w+", expression)}
    assert names == metrics["PRIMARY"].keys() | metrics["STANDBY"].keys()
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert place["x"] + place["w"] <= 24 and not cells & places, panel["title"]
        places |= cells


def test_a_guard_that_is_not_armed_is_seen_and_pages(prometheus, primary):
    not_armed = shown(dict(PANELS)["Guards not armed"])
    assert list(prometheus.values(not_armed).values()) == [0]
    assert "GuardNotOk" not in prometheus.alerts()
    primary.execute("ALTER TABLE users DISABLE TRIGGER ALL")
    try:
        # On the standby, too, to which the catalog comes.
        prometheus.eventually(lambda: list(prometheus.values(not_armed).values()) == [2])
        prometheus.eventually(lambda: prometheus.alerts().get("GuardNotOk") == "firing")
    finally:
        primary.execute("SELECT session_guard.reconcile(), session_guard.revoke_all_sessions()")
    prometheus.eventually(lambda: list(prometheus.values(not_armed).values()) == [0])
    prometheus.eventually(lambda: "GuardNotOk" not in prometheus.alerts())


def test_a_standby_that_is_behind_and_many_stamps_at_once_are_told_of(prometheus, primary, standby):
    replaying = "SELECT pg_wal_replay_{}()"
    standby.execute(replaying.format("pause"))
    try:
        primary.execute("INSERT INTO users SELECT n, true FROM generate_series(1001, 2100) AS n")
        primary.execute("UPDATE users SET active = false WHERE id > 1000")
        prometheus.eventually(lambda: prometheus.alerts().get("ManySessionsEnded") == "firing")
        prometheus.eventually(lambda: prometheus.alerts().get("StandbyBehind") in ("pending", "firing"))
    finally:
        standby.execute(replaying.format("resume"))
    prometheus.eventually(lambda: "StandbyBehind" not in prometheus.alerts())


def test_silence_is_told_of(prometheus):
    (rule,) = [rule for group in ALERTS["groups"] for rule in group["rules"] if rule["alert"] == "GuardSilent"]
    assert not prometheus.values(rule["expr"])
    long_ago = prometheus.get("query", query=rule["expr"], time=time.time() - 86400)
    assert len(long_ago["result"]) == 1
