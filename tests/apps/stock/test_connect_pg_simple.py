"""connect-pg-simple: the user's id lies in the JSON of the session, and a generated column makes it a store."""

import requests
from python_helpers import PASSWORD
from stock import LONGEST, NODE, OWNER, TARGET, App, StockApp

# As docs/apps.md shows it for better-auth.
REFUSE = """
CREATE FUNCTION refuse_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.sess ->> 'userId' IS NOT NULL AND session_start(NEW.sess ->> 'userId') IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse_session BEFORE INSERT ON session FOR EACH ROW EXECUTE FUNCTION refuse_session();
"""


class ConnectPgSimple(App):
    database = "stock_connect_pg_simple"
    statements = (
        "CREATE TABLE users (id serial PRIMARY KEY, name text UNIQUE, active boolean DEFAULT true)",
        "INSERT INTO users (name) VALUES ('alice'), ('bob')",
    )
    server = (*NODE, str(TARGET / "connect_pg_simple.mjs"))

    def create_accounts(self, address):
        # The app's first session makes the table.
        assert self.post_login(address, "alice").status_code == 302
        self.sql(
            "ALTER TABLE session ADD COLUMN IF NOT EXISTS user_id text GENERATED ALWAYS AS (sess ->> 'userId') STORED",
            user=OWNER,
        )
        self.sql("CREATE INDEX IF NOT EXISTS session_user_id ON session (user_id)", user=OWNER)

    def post_login(self, address, who):
        return requests.post(
            f"{address}/login",
            data={"username": who, "password": PASSWORD},
            allow_redirects=False,
            timeout=LONGEST,
        )

    def log_in(self, address, who):
        answer = self.post_login(address, who)
        assert answer.status_code in (302, 401), answer.text
        return dict(answer.cookies)


class TestConnectPgSimple(StockApp):
    app_class = ConnectPgSimple

    def test_a_request_under_way_that_saves_its_session_brings_it_back(self, app, address, alice):
        """A limit: the app inserts the row once more. The next stamp ends it."""
        with app.request_under_way(address, alice):
            app.set_enabled(False)
            assert not app.is_served(address, alice)
        assert app.is_served(address, alice)
        app.set_enabled(True)
        assert not app.is_served(address, alice)

    def test_it_does_not_come_back_with_a_trigger(self, app, address, alice, bob):
        app.sql(REFUSE, user=OWNER)
        try:
            with app.request_under_way(address, alice):
                app.set_enabled(False)
            assert not app.is_served(address, alice)
            with app.request_under_way(address, bob):
                pass
            assert app.is_served(address, bob, "bob")
            app.set_enabled(True)
            assert app.is_served(address, app.log_in(address, "alice"))
        finally:
            app.sql("DROP FUNCTION refuse_session CASCADE")

    def test_a_session_without_a_user_goes_on(self, app, address, alice):
        nobody = "INSERT INTO session (sid, sess, expire) VALUES ('nobody', '{}', now() + interval '1 h')"
        app.sql(f"{nobody} ON CONFLICT DO NOTHING")
        app.set_enabled(False)
        assert app.sql("SELECT count(*) FROM session WHERE sid = 'nobody' AND user_id IS NULL") == 1
