"""Every way to disable an account of Superset and to enable it again. Each takes the world (the database,
the guarded server's address, an administrator) and whether alice is to be active."""

import time

import requests
from client import TIMEOUT, ApiClient
from conftest import DATABASE, run
from python_helpers.databases import connect
from python_helpers.fab_login import bearer, csrf_token

ALICE = "username = 'alice'"


def raw_update(world, active):
    world.db.execute(f"UPDATE ab_user SET active = {active} WHERE {ALICE}")


def bulk_update(world, active):
    world.db.execute(f"UPDATE ab_user SET active = {active} WHERE username IN ('alice', 'bob')")


def orm(world, active):
    run("python", "-c", f"""
from superset.app import create_app
app = create_app()
with app.app_context():
    users = app.appbuilder.sm
    alice = users.find_user("alice")
    alice.active = {active}
    users.update_user(alice)
""")


def edit_form(world, active):
    page = f"/users/edit/{world.alice}"
    form = world.admin.ask("GET", page)
    fields = {"csrf_token": csrf_token(form), "username": "alice", "email": "alice@example.com"}
    fields |= {"first_name": "alice", "last_name": "alice", "roles": str(world.role)}
    if active:
        fields["active"] = "y"
    assert world.admin.ask("POST", page, data=fields).status_code == 302


def rest_api(world, active):
    token = ApiClient(world.guarded, "admin").access
    answer = requests.put(
        f"{world.guarded}/api/v1/security/users/{world.alice}",
        json={"active": active},
        headers=bearer(token),
        timeout=TIMEOUT,
    )
    assert answer.status_code == 200


def replica(world, active):
    """As a restore or a replication does it, past ordinary triggers."""
    with connect(DATABASE) as db:
        db.execute("SET session_replication_role = replica")
        raw_update(world._replace(db=db), active)


def long_transaction(world, active):
    """One that is older than the login: now() in it is too early for a stamp."""
    world.old.execute(f"UPDATE ab_user SET active = {active} WHERE {ALICE}")
    time.sleep(1)
    world.old.commit()


def insert_on_conflict(world, active):
    world.db.execute(
        "INSERT INTO ab_user (id, first_name, last_name, username, email, active)"
        f" SELECT id, first_name, last_name, username, email, {active} FROM ab_user WHERE {ALICE}"
        " ON CONFLICT (id) DO UPDATE SET active = excluded.active"
    )


def merge(world, active):
    world.db.execute(
        f"MERGE INTO ab_user USING (VALUES ('alice', {active})) AS wanted (name, active)"
        " ON username = name WHEN MATCHED THEN UPDATE SET active = wanted.active"
    )


def delete_and_insert(world, active):
    """The same id with the same name, password and role."""
    if active:
        world.db.execute("INSERT INTO ab_user SELECT * FROM kept")
        world.db.execute(
            "INSERT INTO ab_user_role (id, user_id, role_id)"
            " VALUES (nextval('ab_user_role_id_seq'), %s, %s)",
            (world.alice, world.role),
        )
        world.db.execute("DROP TABLE kept")
    else:
        world.db.execute(f"CREATE TEMPORARY TABLE kept AS SELECT * FROM ab_user WHERE {ALICE}")
        for table in ("logs", "ab_user_role", "user_attribute"):
            world.db.execute(f"DELETE FROM {table} WHERE user_id = {world.alice}")
        world.db.execute(f"DELETE FROM ab_user WHERE {ALICE}")


CHANGES = [
    raw_update,
    bulk_update,
    orm,
    edit_form,
    rest_api,
    replica,
    long_transaction,
    insert_on_conflict,
    merge,
    delete_and_insert,
]
