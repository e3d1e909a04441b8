"""Prints how long a request takes over HTTP, by turns with a server of the same app without the guard. Asserts nothing. It
is for PgBouncer and for the Rust crate: what the Node package adds is told more exactly by added_time.py.

    TARGET=../../../target/npm/clients-node/app PYTHONPATH=../.. ../../../target/venv-node/bin/python latency.py [POOLED]

After `run`, with the same environment. With POOLED, through PgBouncer in transaction mode.
"""

import sys
from contextlib import nullcontext
from dataclasses import replace

from adapters import ADAPTERS
from python_helpers.latency import print_added
from test_pgbouncer import pooler

with pooler() if sys.argv[1:] == ["POOLED"] else nullcontext({}) as way:
    for adapter in ADAPTERS:
        if not way or adapter.pooled is None:
            own = replace(adapter, name=f"latency_{adapter.name}")
            print_added(own, "/api/me", rounds=3000, warm_up=300, **way)
