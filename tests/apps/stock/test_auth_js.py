"""Auth.js with its PostgreSQL adapter and database sessions. The column `disabled_at` is the operator's own."""

import re
from urllib.parse import quote

import requests
from stock import LONGEST, NODE, TARGET, App, StockApp


class AuthJs(App):
    database = "stock_auth_js"
    name = "email"
    disable, enable = "disabled_at = now()", "disabled_at = NULL"
    attach = "SELECT session_guard.attach('users', active_column => 'disabled_at', active_when => 'null')"
    store = "sessions"
    add_store = "SELECT session_guard.add_store('sessions', 'userId')"
    # The columns that the adapter's documentation asks for.
    statements = (
        """CREATE TABLE users (id serial PRIMARY KEY, name varchar(255), email varchar(255), "emailVerified" timestamptz,
           image text)""",
        """CREATE TABLE sessions (id serial PRIMARY KEY, "userId" integer NOT NULL, expires timestamptz NOT NULL,
           "sessionToken" varchar(255) NOT NULL)""",
        """CREATE TABLE verification_token (identifier text, expires timestamptz NOT NULL, token text,
           PRIMARY KEY (identifier, token))""",
        """CREATE TABLE accounts (id serial PRIMARY KEY, "userId" integer NOT NULL, type varchar(255) NOT NULL,
           provider varchar(255) NOT NULL, "providerAccountId" varchar(255) NOT NULL, refresh_token text, access_token text,
           expires_at bigint, id_token text, scope text, session_state text, token_type text)""",
        "ALTER TABLE users ADD COLUMN disabled_at timestamptz",
        'CREATE INDEX ON sessions ("userId")',
    )
    server = (*NODE, str(TARGET / "auth_js.mjs"))

    def create_accounts(self, address):
        for who in ("alice", "bob"):
            assert self.is_served(address, self.log_in(address, who), who)

    def log_in(self, address, who):
        browser = requests.Session()
        csrf = browser.get(f"{address}/auth/csrf", timeout=LONGEST).json()["csrfToken"]
        email = f"{who}@example.com"
        asked = browser.post(
            f"{address}/auth/signin/email",
            data={"email": email, "csrfToken": csrf},
            allow_redirects=False,
            timeout=LONGEST,
        )
        assert asked.status_code == 302, asked.text
        if "AccessDenied" in asked.headers["Location"]:
            return {}
        link = browser.get(f"{address}/outbox/{quote(email)}", timeout=LONGEST).text
        assert re.match(f"{address}/auth/callback/email", link)
        browser.get(link, allow_redirects=False, timeout=LONGEST)
        return {"authjs.session-token": browser.cookies["authjs.session-token"]}


class TestAuthJs(StockApp):
    app_class = AuthJs
