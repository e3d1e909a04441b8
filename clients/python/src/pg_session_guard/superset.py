"""Superset. In superset_config.py:

    from pg_session_guard.superset import FLASK_APP_MUTATOR

If you have a mutator of your own, call `SessionGuard(app)` in it.

To end the sessions of an embedded dashboard's guests:
SELECT session_guard.revoke_tokens('embedded_dashboard', 'the id of its embedding'),
and without an id those of all dashboards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, Request, g
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from pg_session_guard import fab

# A token may name its dashboard by the number that it had before it was embedded. Then it falls
# with the id of its embedding, too. A token without a time falls once anything of its dashboards
# was ever revoked.
GUEST_VALID = text(
    "WITH named AS (SELECT id FROM unnest(CAST(:ids AS text[])) AS id)"
    " SELECT bool_and(token_valid('embedded_dashboard', id, to_timestamp(:issued_at))) FROM ("
    "SELECT id FROM named UNION SELECT CAST(uuid AS text) FROM embedded_dashboards"
    " WHERE CAST(dashboard_id AS text) IN (SELECT id FROM named)) AS subject"
)


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

    def _load_guest(self, request: Request) -> Any:
        try:
            user = self.manager.request_loader(request)
            if not user or not self.manager.is_guest_user(user):
                return user
            return user if self._guest_is_valid(user.guest_token) else None
        except HTTPException:
            raise
        except Exception:  # Nobody is logged in by what raises, and someone has to know.
            self.app.logger.exception("cannot load the user of a request")
            return None

    def _guest_is_valid(self, token: dict[str, Any]) -> bool:
        ids: list[str | None] = [
            str(thing["id"]) for thing in token["resources"] if thing["type"] == "dashboard"
        ]
        values = {"ids": ids or [None], "issued_at": token.get("iat")}
        try:
            return self.db_session.execute(GUEST_VALID, values).scalar() is True
        except SQLAlchemyError:
            self._cannot_ask()
            return True


def FLASK_APP_MUTATOR(app: Flask) -> None:
    """Superset calls it once its security manager is there: in web servers, workers and
    commands."""
    SessionGuard(app)
