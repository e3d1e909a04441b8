"""What the pages of Flask-AppBuilder ask of the database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, inspect, or_, select

from pg_session_guard.core import administration as core
from pg_session_guard.core.administration import Account, Event, Filter, Finding, Rights
from pg_session_guard.flask import SessionGuard
from pg_session_guard.sqlalchemy import text_of

PAGE_SIZE = 50


@dataclass(frozen=True)
class User:
    id: str
    name: str
    full_name: str
    account: Account


class Sessions:
    def __init__(self, guard: SessionGuard) -> None:
        self.guard = guard
        self.table = str(guard.settings.users)
        self.model: Any = guard.user_class
        self.key = getattr(self.model, guard.query.key_name)
        self.too_large = 2**63 if isinstance(self.key.type, BigInteger) else 2**31

    def _run(self, statement: str, values: dict[str, Any]) -> Sequence[Sequence[Any]]:
        """In the transaction of the request, of the database of the users."""
        bind = {"mapper": inspect(self.model)}
        result = self.guard.db_session.execute(text_of(statement), values, bind_arguments=bind)
        rows: Sequence[Sequence[Any]] = result.fetchall()
        return rows

    def rights(self) -> Rights:
        return core.read_rights(self._run, self.table)

    def findings(self) -> list[Finding]:
        return core.read_findings(self._run)

    def guards(self) -> tuple[list[str], str | None]:
        return core.read_guards(self._run, self.table)

    def history(self, user_id: str) -> tuple[list[Event], bool]:
        return core.read_history(self._run, self.table, user_id)

    def record(self, chosen: Filter) -> tuple[list[Event], bool]:
        return core.read_record(self._run, chosen, PAGE_SIZE)

    def end(self, ids: Iterable[str], administrator: str, note: str) -> int:
        """In a transaction of its own, after what the request has written so far."""
        guard = self.guard
        reason = core.reason_of(administrator, note)
        guard._end_transaction(guard.db_session.commit)
        with guard.db_session.get_bind(inspect(self.model)).begin() as connection:

            def run(statement: str, values: dict[str, Any]) -> Sequence[Sequence[Any]]:
                rows: Sequence[Sequence[Any]] = connection.execute(
                    text_of(statement), values
                ).fetchall()
                return rows

            timeout = guard.settings.lock_timeout_text
            return core.end_sessions(run, self.table, list(ids), reason, timeout)

    # --- Users ---

    def users(self, part: str | None, after: str | None) -> tuple[list[User], bool]:
        """A page of them by name, after that name, and whether there are more."""
        name = self.model.username
        chosen = self._select().order_by(name).limit(PAGE_SIZE + 1)
        if after:
            chosen = chosen.where(name > after.replace("\0", ""))
        if part:
            escaped = part.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
            like = f"%{escaped}%"
            chosen = chosen.where(or_(name.ilike(like), self.model.email.ilike(like)))
        found = self._with_accounts(self.guard.db_session.execute(chosen).fetchall())
        return found[:PAGE_SIZE], len(found) > PAGE_SIZE

    def user(self, user_id: str) -> User | None:
        return self.users_by_id([user_id]).get(user_id)

    def users_by_id(self, ids: Iterable[str]) -> dict[str, User]:
        chosen = self._select().where(self.key.in_(self._keys(ids)))
        chosen = chosen.order_by(self.model.username)
        found = self._with_accounts(self.guard.db_session.execute(chosen).fetchall())
        return {user.id: user for user in found}

    def names_of(self, events: Iterable[Event], guard: str | None) -> dict[str, str]:
        """Of the users of that guard: in another, the same id is somebody else."""
        ids = {event.user_id for event in events if event.user_id and event.guard == guard}
        chosen = self._select().where(self.key.in_(self._keys(ids)))
        rows = self.guard.db_session.execute(chosen).fetchall()
        return {str(key): name for key, name, *_ in rows}

    def id_of(self, name_or_id: str) -> str:
        chosen = select(self.key).where(self.model.username == name_or_id)
        found = self.guard.db_session.execute(chosen).scalar()
        return name_or_id if found is None else str(found)

    def _select(self) -> Any:
        model = self.model
        return select(self.key, model.username, model.first_name, model.last_name)

    def _keys(self, ids: Iterable[str]) -> list[Any]:
        keys = []
        for text in ids:
            try:
                key = self.guard.query.key_type(text)
            except (ValueError, TypeError):
                continue
            if not isinstance(key, int) or abs(key) < self.too_large:
                keys.append(key)
        return keys

    def _with_accounts(self, rows: Sequence[Sequence[Any]]) -> list[User]:
        accounts = core.read_accounts(self._run, self.table, [str(row[0]) for row in rows])
        return [
            User(str(key), name, f"{first or ''} {last or ''}".strip(), accounts[str(key)])
            for key, name, first, last in rows
        ]
