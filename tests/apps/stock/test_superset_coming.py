"""Superset's coming release ends sessions by `user_attribute.sessions_invalidated_at`, which only its ORM raises. As a store, it
is raised by SQL as well."""

import psycopg
import pytest
from python_helpers import commands
from python_helpers.fab_login import log_in_by_form
from stock import LONGEST, PYTHON, ROOT, App, StockApp

FLASK = (PYTHON, "-m", "flask", "--app", "superset_app")
RAISED = "SELECT sessions_invalidated_at FROM user_attribute JOIN ab_user ON ab_user.id = user_id WHERE username = 'alice'"


class SupersetComing(App):
    database = "stock_superset"
    documentation = (ROOT / "docs" / "superset.md").read_text()
    users, name = "ab_user", "username"
    # What CREATE EXTENSION does by itself.
    attach = "SELECT FROM session_guard.guard WHERE name = 'public.ab_user' AND active_column = 'active'"
    store = "user_attribute"
    add_store = "SELECT session_guard.add_store('user_attribute', 'user_id', 'sessions_invalidated_at')"
    asks_for_status = True
    setup = ((*FLASK, "add-users"),)
    server = (*FLASK, "run", "--host", "127.0.0.1", "--port", "PORT", "--with-threads")
    ready, private = "/login/", "/private/"

    def log_in(self, address, who):
        return {"session": log_in_by_form(address, who, LONGEST)[1]}


class TestSupersetComing(StockApp):
    app_class = SupersetComing

    def test_the_table_is_as_superset_s_migrations_make_it(self, app):
        columns = app.sql(
            """SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod) || (CASE WHEN attnotnull THEN ' not null' ELSE '' END),
                                 ', ' ORDER BY attnum)
               FROM pg_attribute WHERE attrelid = 'user_attribute'::regclass AND attnum > 0"""
        )
        assert columns == (
            "id integer not null, user_id integer, created_on timestamp without time zone, "
            "changed_on timestamp without time zone, created_by_fk integer, changed_by_fk integer, "
            "sessions_invalidated_at timestamp without time zone"
        )
        keys = app.sql(
            """SELECT string_agg(pg_get_constraintdef(oid), ', ' ORDER BY contype, conkey)
               FROM pg_constraint WHERE conrelid = 'user_attribute'::regclass AND contype IN ('f', 'u')"""
        )
        assert "FOREIGN KEY (user_id) REFERENCES ab_user(id)," in keys
        assert "UNIQUE (user_id)" in keys

    def test_the_app_s_own_disable_and_an_enable_by_sql(self, app, address, alice):
        commands.output_of((*FLASK, "disable-alice"), app.environment())
        app.set_enabled(True)
        assert not app.is_served(address, alice)
        assert app.is_served(address, app.log_in(address, "alice"))

    def test_a_login_at_once_after_the_enable_counts(self, app, address):
        """The column has the stamp's exact time, not the next second."""
        for _ in range(5):
            app.set_enabled(False)
            app.set_enabled(True)
            assert app.is_served(address, app.log_in(address, "alice"))

    def test_the_column_only_rises(self, app, address, alice):
        app.set_enabled(False)
        disabled = app.sql(RAISED)
        app.set_enabled(True)
        assert app.sql(RAISED) > disabled
        app.sql("UPDATE user_attribute SET sessions_invalidated_at = '2100-01-01'")
        app.set_enabled(False)
        assert app.sql(RAISED).year == 2100
        app.sql("DELETE FROM user_attribute")

    def test_times_are_utc_in_every_time_zone(self, app, address, alice):
        for zone in ("Asia/Tokyo", "America/Los_Angeles"):
            app.psql(f"SET timezone = '{zone}'", app.update(app.disable), app.update(app.enable))
            assert not app.is_served(address, alice)
            alice = app.log_in(address, "alice")
            assert app.is_served(address, alice)

    def test_a_user_can_be_deleted_as_before(self, app, address):
        """The foreign key has no ON DELETE. A DELETE makes no row that would stop it."""
        cookies = app.log_in(address, "carol")
        assert app.is_served(address, cookies, "carol")
        carol = app.sql("SELECT id FROM ab_user WHERE username = 'carol'")
        assert app.sql(f"SELECT count(*) FROM user_attribute WHERE user_id = {carol}") == 0
        app.sql(f"DELETE FROM ab_user_role WHERE user_id = {carol}")
        app.psql("DELETE FROM ab_user WHERE username = 'carol'")
        assert app.sql(f"SELECT count(*) FROM user_attribute WHERE user_id = {carol}") == 0
        assert not app.is_served(address, cookies, "carol")

    def test_a_user_who_was_disabled_has_a_row_that_is_deleted_first(self, app, address):
        """As after a disable by the app itself."""
        new = "INSERT INTO ab_user (id, first_name, last_name, username, email, active)"
        app.sql(f"{new} VALUES (1000, 'dave', 'dave', 'dave', 'dave@example.com', true)")
        app.psql(app.update(app.disable, "dave"))
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            app.sql("DELETE FROM ab_user WHERE id = 1000")
        app.sql("DELETE FROM user_attribute WHERE user_id = 1000")
        app.sql("DELETE FROM ab_user WHERE id = 1000")
        assert app.sql("SELECT count(*) FROM user_attribute WHERE user_id = 1000") == 0
