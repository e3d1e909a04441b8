"""How Starlette apps are put together: tables, pools, what they give by mistake. Without a server."""

import asyncio

import pytest
from adapters import ADAPTERS, MEMBERS
from pg_session_guard.core.settings import Settings
from pg_session_guard.starlette import SessionGuard
from pg_session_guard.starlette_middleware import SessionGuardMiddleware
from sqlalchemy import BigInteger, Column, Text, create_engine
from sqlalchemy.orm import Session, declarative_base
from starlette.exceptions import HTTPException
from starlette.requests import Request

pytestmark = pytest.mark.parametrize("adapter", ADAPTERS[:1], ids=["flask"], indirect=True)
Base = declarative_base()


class User(Base):
    __tablename__ = "users"
    id = Column(BigInteger, primary_key=True)
    username = Column(Text)


class Member(Base):
    __tablename__ = 'Our "Members"'
    __table_args__ = {"schema": "Club"}  # noqa: RUF012
    id = Column(BigInteger, primary_key=True)
    username = Column(Text)


@pytest.fixture
def engine(adapter):
    engine = create_engine(adapter.environment["DATABASE_URL"])
    yield engine
    engine.dispose()


def request(session=None, path="/", **headers):
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "path": path, "query_string": b"", "headers": raw, "session": {} if session is None else session}
    return Request(scope)


def run(awaitable):
    return asyncio.run(awaitable)


JSON = {"Accept": "application/json"}


def refusal(awaitable):
    with pytest.raises(HTTPException) as refused:
        run(awaitable)
    return refused.value


def test_the_guard_of_the_class_s_own_table_is_asked(adapter, engine, members):
    guard = SessionGuard(engine)
    load = guard.load(Member, lambda: None)
    adapter.set_active(False)  # Somebody else of the same id.
    session = {}
    assert run(guard.log_in(request(session), 1))
    with Session(engine) as db:
        assert run(load(request(session), db)).username == "alice"
    adapter.sql(f"UPDATE {MEMBERS} SET active = false WHERE id = 1")
    with Session(engine) as db:
        assert refusal(load(request(dict(session), **JSON), db)).status_code == 401
    assert refusal(guard.required(request(dict(session), **JSON))).status_code == 401
    assert not run(guard.log_in(request(), 1))


def test_one_guard_is_asked_of_one_table(adapter, engine):
    guard = SessionGuard(engine)
    guard.load(User, lambda: None)
    guard.load(User, lambda: None)
    with pytest.raises(TypeError, match="user_key"):
        guard.load(Member, lambda: None)
    named = SessionGuard(engine, settings=Settings(users="users"))
    named.load(Member, lambda: None)
    assert named.settings.users == "users"


@pytest.mark.parametrize(
    ("open_path", "opened", "closed"),
    [
        ("/health", ["/health", "/health/", "/health/live"], ["/health-records", "/healthy", "/", "/a/health"]),
        ("/static/", ["/static/", "/static/a.css"], ["/static", "/statics", "/"]),
        ("/", ["/"], ["/private", "//private", ""]),
        ("", [""], ["/", "/private"]),
    ],
)
def test_an_open_path_is_a_whole_one(adapter, engine, open_path, opened, closed):
    async def served(*_):
        pass

    middleware = SessionGuardMiddleware(served, SessionGuard(engine), open_paths=(open_path,))
    adapter.set_active(False)

    def is_asked(path):
        session = {"user_id": "1"}
        run(middleware(request(session, path).scope, None, None))
        return "user_id" not in session

    assert [is_asked(path) for path in opened] == [False] * len(opened)
    assert [is_asked(path) for path in closed] == [True] * len(closed)


def test_open_paths_are_not_one_text(adapter, engine):
    with pytest.raises(TypeError, match="open_paths"):
        SessionGuardMiddleware(None, SessionGuard(engine), open_paths="/health")


@pytest.mark.parametrize("wrong", [User(id=1), {"id": 1}, (1,), True])
def test_a_login_of_what_is_no_id_is_an_error(adapter, engine, wrong):
    guard = SessionGuard(engine)
    for log_in in (guard.log_in(request(), wrong), guard.begin_login(wrong), guard.log_in_at(request(), wrong, "2020-01-01T00:00:00+00:00")):
        with pytest.raises(TypeError, match=r"user\.id"):
            run(log_in)


def test_a_login_of_nobody_is_none(adapter, engine):
    assert run(SessionGuard(engine).log_in(request(), None)) is False
