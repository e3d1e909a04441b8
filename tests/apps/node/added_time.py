"""Prints what the guard adds to a request, by turns with the same app without it: see python_helpers/added_time.py. Asserts
nothing.

    make added-time
"""

import sys
from dataclasses import replace

from adapters import EXPRESS, FASTIFY, OWN, STORE, TARGET, Adapter
from python_helpers import PASSWORD
from python_helpers.added_time import print_added
from python_helpers.ports import free_port

# The check rides on the query that reads the user, but for the one that shows what a query of its own adds. None prepares the
# guard's query: the app's own is not prepared, and would take longer.
APPS = [
    Adapter("express_cookie", EXPRESS),
    Adapter("express_store", EXPRESS, (STORE,)),
    Adapter("express_own_query", EXPRESS, (STORE, OWN)),
    Adapter("fastify_cookie", FASTIFY),
    Adapter("fastify_store", FASTIFY, (STORE,)),
]

for adapter in APPS:
    if adapter.name in (sys.argv[1:] or [app.name for app in APPS]):
        own = replace(adapter, name=f"added_{adapter.name}")
        own.create()
        ports = f"{free_port()} {free_port()}"
        environment = {**own.environment, "SERVER": own.command[1], "PORTS": ports, "PASSWORD": PASSWORD}
        print_added(adapter.name, own.database, ["node", TARGET / "added_time.mjs"], environment, TARGET)
        own.drop()
