"""Superset. In superset_config.py:

    from pg_session_guard.superset import FLASK_APP_MUTATOR

If you have a mutator of your own, call `SessionGuard(app)` in it.

To end the sessions of an embedded dashboard's guests:
SELECT session_guard.revoke_tokens('embedded_dashboard', 'the id of its embedding'),
and without an id those of all dashboards.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Flask, Request, Response, g, request, session
from markupsafe import escape
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from pg_session_guard import fab
from pg_session_guard.core import login_time

# A token may name its dashboard in the ways of before it was embedded: by its number, its slug or
# its own UUID. Then it falls with the id of its embedding, too. A token without a time falls once
# anything of its dashboards was ever revoked.
GUEST_VALID = text(
    "SELECT bool_and(token_valid('embedded_dashboard', id, CAST(:issued_at AS timestamptz)))"
    " FROM (SELECT id FROM unnest(CAST(:ids AS text[])) AS id UNION"
    " SELECT CAST(embedded.uuid AS text) FROM dashboards"
    " JOIN embedded_dashboards AS embedded ON embedded.dashboard_id = dashboards.id"
    " WHERE dashboards.id = ANY (CAST(:numbers AS integer[]))"
    " OR dashboards.uuid = ANY (CAST(:uuids AS uuid[]))"
    " OR dashboards.slug = ANY (CAST(:ids AS text[]))) AS subject"
)
# /health, /healthcheck and /ping
PROBES = "health.health"
MESSAGE_STYLE = "padding:12px 24px;background:#fff3cd;color:#664d03;font:14px sans-serif"


class SessionGuard(fab.SessionGuard):
    def init_app(self, app: Flask, appbuilder: Any = None, _user_class: Any = None) -> None:
        super().init_app(app, appbuilder)
        self.manager = app.appbuilder.sm  # type: ignore[attr-defined]
        self.manager.lm.request_loader(self._load_guest)

    def _at_request(self, app: Flask, **_: Any) -> None:
        super()._at_request(app)
        if self.manager.lm._request_callback != self._load_guest:
            raise RuntimeError(
                "no guest's token is checked: another request loader has taken the place of"
                " SessionGuard's. Call SessionGuard(app) last in FLASK_APP_MUTATOR"
            )

    def _end_transaction(self, end: Callable[[], None]) -> None:
        """Unless it is a larger one, of Superset's own, that it belongs to."""
        if not g.get("in_transaction"):
            end()

    def _at_login(self, app: Flask, user: Any) -> None:
        if user.get_id() is not None:  # An embedded page logs in nobody, in this way.
            super()._at_login(app, user)

    # --- Probes ---

    def load_user(self, user_id: str) -> Any:
        """Nobody's for a probe, whatever cookie it has: it says whether the web server works, and
        not the database. The release after 6.1 asks for the user at each request."""
        return None if request.endpoint == PROBES else super().load_user(user_id)

    # --- Guests ---

    def _load_guest(self, request: Request) -> Any:
        if request.endpoint == PROBES:
            return None
        try:
            user = self.manager.request_loader(request)
            if not user or not self.manager.is_guest_user(user):
                return user
            return user if self._guest_is_valid(user.guest_token) else None
        except HTTPException:
            raise
        except SQLAlchemyError:
            self._cannot_ask()
            return None
        except Exception:  # Nobody is logged in by what raises, and someone has to know.
            self.app.logger.exception("cannot load the user of a request")
            return None

    def _guest_is_valid(self, token: dict[str, Any]) -> bool:
        named = [str(thing["id"]) for thing in token["resources"] if thing["type"] == "dashboard"]
        uuids = [uuid for uuid in map(_as_uuid, named) if uuid]
        ids: list[str | None] = [*named, *uuids]
        values = {
            "ids": ids or [None],
            "numbers": [int(name) for name in named if re.fullmatch("[0-9]{1,9}", name)],
            "uuids": uuids,
            "issued_at": login_time.of_token(token),
        }
        try:
            return self.db_session.execute(GUEST_VALID, values).scalar() is True
        except SQLAlchemyError:
            self._cannot_ask()
            return True

    # --- The message ---

    def _after_request(self, response: Response) -> Response:
        self._show_message(response)
        return super()._after_request(response)

    def _show_message(self, response: Response) -> None:
        """Superset's own login page shows no flashed message."""
        flashed = session.get("_flashes") or []
        ours = [entry for entry in flashed if entry[1] == self.settings.message]
        if not ours or response.mimetype != "text/html" or response.status_code != 200:
            return
        login = self.app.appbuilder.get_url_for_login  # type: ignore[attr-defined]
        if request.script_root + request.path != login:
            return
        shown = f'<div role="alert" style="{MESSAGE_STYLE}">{escape(self.settings.message)}</div>'
        page = response.get_data(as_text=True)
        response.set_data(re.sub(r"<body[^>]*>", lambda body: body[0] + shown, page, count=1))
        session["_flashes"] = [entry for entry in flashed if entry not in ours]


def _as_uuid(name: str) -> str | None:
    """As PostgreSQL writes it; None where it is none."""
    try:
        return str(UUID(name))
    except ValueError:
        return None


def FLASK_APP_MUTATOR(app: Flask) -> None:
    """Superset calls it once its security manager is there: in web servers, workers and
    commands."""
    SessionGuard(app)
