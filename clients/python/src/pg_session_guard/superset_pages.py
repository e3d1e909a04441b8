"""Superset, with pages where an administrator ends sessions. In superset_config.py:

    from pg_session_guard.superset_pages import FLASK_APP_MUTATOR

If you have a mutator of your own, call that of this module in it. Then run `superset init`, which
makes the permissions.
"""

from __future__ import annotations

from flask import Flask

from pg_session_guard.fab_pages import add_session_pages
from pg_session_guard.superset import FLASK_APP_MUTATOR as guard


def FLASK_APP_MUTATOR(app: Flask) -> None:
    guard(app)
    add_session_pages(app.appbuilder)  # type: ignore[attr-defined]
