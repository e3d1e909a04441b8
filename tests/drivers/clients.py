"""The drivers' clients, the databases that they ask, and the answers that they should get."""

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from python_helpers.databases import connect, create_database, create_role

HERE = Path(__file__).parent
BUILT = Path(os.environ["GUARD_BUILT"])
CASES = json.loads((HERE / "cases.json").read_text())
DRIVERS = {
    "psql": ["sh", "psql.sh"],
    "psycopg2": [sys.executable, "psycopg2_client.py"],
    "psycopg3": [sys.executable, "psycopg3_client.py"],
    "asyncpg": [sys.executable, "asyncpg_client.py"],
    "SQLAlchemy": [sys.executable, "sqlalchemy_client.py"],
    "node-postgres": ["node", "node_postgres.js"],
    "tokio-postgres": [str(BUILT / "cargo/debug/tokio_postgres_client")],
    "JDBC": ["java", "-cp", "/usr/share/java/postgresql.jar", "Jdbc.java"],
    "DBD::Pg": ["perl", "dbd_pg.pl"],
    "ruby-pg": ["ruby", "ruby_pg.rb"],
    "PDO": ["php", "php_pdo.php"],
    "libpq": [str(BUILT / "libpq")],
}
# What the clients log in to the server with: an ordinary role, which grant_access has let call the functions.
APP = "guard_drivers_app"
# Neither the clients' zone nor the server's is UTC: a time that is taken for a local one is seen to be.
CLIENTS_ZONE, SERVERS_ZONE = "Asia/Kolkata", "America/New_York"
# As the server writes them, where a client makes no more of them.
BOOLEANS = {"t": "true", "f": "false"}
EPOCH = "2024-01-31 10:00:00+00"


def cases_of(column):
    """A row of the table `cases`, what to expect, and the drivers of which something else is expected."""
    users = CASES["columns"][column]
    for guard, key in [(None, "users"), ("staff", "staff")]:
        for case in CASES["sessions"]:
            yield (case["name"], "session", guard, column, users[case["user"]], case["login_as"], case["login"]), case[key], case
        for case in CASES["ids"]:
            if case["column"] == column:
                row = case["name"], "session", guard, case["id_as"], case["id"], "aware", "2024-01-31T09:59:59.999999+00:00"
                yield row, case[key], case
    for case in CASES["tokens"]:
        yield (case["name"], "token", case["scope"], "text", case["subject"], case["login_as"], case["login"]), case["answer"], case
    yield ("round trip", "round trip", None, column, users["round_trip"], "null", None), "true false", {}


def make_database(column):
    name, users = f"guard_drivers_{column}", CASES["columns"][column]
    create_role(APP)
    create_database(name, settings={"TimeZone": SERVERS_ZONE})
    with connect(name) as db:
        db.execute("CREATE EXTENSION pg_session_guard")
        for table in ["users", "staff"]:
            db.execute(f"CREATE TABLE {table} (id {column} PRIMARY KEY, active boolean)")
            for user in ["fresh", "stamped", "disabled", "round_trip"]:
                is_active = (table, user) != ("users", "disabled")
                db.execute(f"INSERT INTO {table} VALUES (%s, %s)", (users[user], is_active))
            db.execute("SELECT session_guard.attach(%s::regclass, is_default => %s)", (table, table == "users"))
        db.execute("SELECT session_guard.revoke_sessions(%s::text)", (users["stamped"],))
        db.execute("UPDATE session_guard.epoch SET epoch = %s WHERE user_id = %s", (EPOCH, users["stamped"]))
        db.execute("SELECT session_guard.revoke_tokens('dashboard', 'revoked')")
        db.execute("UPDATE session_guard.token_epoch SET epoch = %s", (EPOCH,))
        # Two stamps by the triggers, as an app's own writes cause them; for clients in any language.
        db.execute("""CREATE FUNCTION stamp(text) RETURNS text LANGUAGE sql BEGIN ATOMIC
            UPDATE users SET active = false WHERE id::text = $1;
            UPDATE users SET active = true WHERE id::text = $1;
            SELECT 'stamped'; END""")
        db.execute("CREATE FUNCTION read_time(text) RETURNS timestamptz LANGUAGE sql RETURN $1::timestamptz")
        db.execute("""CREATE TABLE cases (name text, ask text, guard text, id_as text, id text, login_as text, login text,
            UNIQUE (name, guard))""")
        with db.cursor() as cursor:
            cursor.executemany("INSERT INTO cases VALUES (%s, %s, %s, %s, %s, %s, %s)", [row for row, *_ in cases_of(column)])
        db.execute("SELECT session_guard.grant_access(%s)", (APP,))
        db.execute(f"GRANT SELECT ON cases TO {APP}")
        db.execute(f"GRANT SELECT, UPDATE ON users TO {APP}")
    return name


def ask(driver, database, **environment):
    """What the driver's client says: by name of the case, guard and call, a verdict by way of asking."""
    environment = os.environ | {"PGDATABASE": database, "PGUSER": APP, "TZ": CLIENTS_ZONE, "PYTHONDONTWRITEBYTECODE": "1",
                                "PGCLIENTENCODING": "UTF8"} | environment
    client = subprocess.run(DRIVERS[driver], cwd=HERE, env=environment, text=True, capture_output=True, timeout=120)
    assert client.returncode == 0, client.stderr
    said = defaultdict(dict)
    for line in client.stdout.splitlines():
        name, guard, call, way, answer = line.split("\t")
        said[name, guard or None, call][way] = " ".join(BOOLEANS.get(word, word) for word in answer.split(" "))
    return said


def expected_answers(driver, column):
    """By name, guard and call: a function from the way of asking to the answer."""
    for (name, asked, guard, *_), answer, case in cases_of(column):
        def verdict(way, answer=answer, guard=guard, exceptions=case.get("except", {})):
            excepted = exceptions.get(f"{driver} {way}", exceptions.get(driver, answer))
            return excepted if isinstance(excepted, str) else excepted[guard is not None]

        def valid(way, verdict=verdict):
            return verdict(way) if verdict(way).startswith("error") else str(verdict(way) == "valid").lower()

        if asked == "session":
            yield (name, guard, "session_verdict"), verdict
            yield (name, guard, "session_valid"), valid
        else:
            yield (name, guard, asked.replace("token", "token_valid").replace(" ", "_")), verdict
