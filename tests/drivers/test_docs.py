"""docs/clients.md shows what the clients here run."""

import re

import pytest
from clients import HERE
from python_helpers import ROOT

SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", (ROOT / "docs/clients.md").read_text(), re.M | re.S))
CLIENTS = {"psql": "psql.sh", "psycopg 2": "psycopg2_client.py", "psycopg 3": "psycopg3_client.py", "asyncpg": "asyncpg_client.py",
           "SQLAlchemy": "sqlalchemy_client.py", "node-postgres": "node_postgres.js", "tokio-postgres": "tokio_postgres/src/main.rs",
           "JDBC": "Jdbc.java", "Perl's DBD::Pg": "dbd_pg.pl", "Ruby's pg": "ruby_pg.rb", "PHP's PDO": "php_pdo.php", "libpq": "libpq.c"}


def lines(text):
    return [line.strip() for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("driver", CLIENTS)
def test_each_line_of_code_is_one_that_the_client_runs(driver):
    shown = [line for block in re.findall(r"```\w+\n(.*?)```", SECTIONS[driver], re.S) for line in lines(block)]
    run = lines((HERE / CLIENTS[driver]).read_text())
    assert shown
    # The page has a login before a request, the clients a function for requests before all.
    assert [line for line in shown if line not in run] == []
