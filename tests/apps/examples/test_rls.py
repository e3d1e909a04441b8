"""With the policy of examples/rls, an app that forgets to ask gets no rows of a session that has ended."""

import psycopg
import pytest
from conftest import DATABASE
from python_helpers import EXAMPLES
from python_helpers.databases import create_role

POLICY = EXAMPLES / "rls" / "rls.sql"
APP = "document_app"


@pytest.fixture(scope="module")
def app(database):
    create_role(APP)
    with psycopg.connect(dbname=DATABASE, autocommit=True) as admin:
        admin.execute(POLICY.read_text())
        admin.execute("INSERT INTO document (owner_id, title) SELECT n, 'of ' || n FROM generate_series(1, 50) AS n")
    with psycopg.connect(dbname=DATABASE, user=APP) as connection:
        yield connection


def titles(app, user, login):
    with app.transaction():
        app.execute("SELECT set_config('app.user_id', %s, true), set_config('app.login_at', %s, true)", (str(user), login))
        return [title for (title,) in app.execute("SELECT title FROM document")]


def test_rows_are_there_while_the_session_counts_and_not_after(app, db, log_in):
    login = log_in(7)
    assert titles(app, 7, login) == ["of 7"]
    db.execute("UPDATE users SET active = false WHERE id = 7")
    assert titles(app, 7, login) == []
    db.execute("UPDATE users SET active = true WHERE id = 7")
    assert titles(app, 7, login) == []
    assert titles(app, 7, log_in(7)) == ["of 7"]


def test_the_session_ends_within_a_transaction_too(app, db, log_in):
    with app.transaction():
        app.execute("SELECT set_config('app.user_id', '8', true), set_config('app.login_at', %s, true)", (log_in(8),))
        assert len(app.execute("SELECT FROM document").fetchall()) == 1
        db.execute("SELECT session_guard.revoke_sessions(8)")
        assert app.execute("SELECT FROM document").fetchall() == []


def test_without_a_word_of_who_it_is_there_are_no_rows_and_no_error(app, db):
    # As if nobody had been put out yet: session_valid then lets a session without a login time go on.
    db.execute("DELETE FROM session_guard.guard_epoch")
    assert db.execute("SELECT session_valid(9, NULL::timestamptz)").fetchone()[0]
    with app.transaction():
        assert app.execute("SELECT title FROM document").fetchall() == []
    assert titles(app, "", "") == []
    assert titles(app, 9, "") == []


def test_a_session_that_has_ended_can_write_nothing(app, db, log_in):
    login = log_in(10)
    db.execute("SELECT session_guard.revoke_sessions(10)")
    with pytest.raises(psycopg.errors.InsufficientPrivilege), app.transaction():
        app.execute("SELECT set_config('app.user_id', '10', true), set_config('app.login_at', %s, true)", (login,))
        app.execute("INSERT INTO document (owner_id, title) VALUES (10, 'late')")
