"""A FastAPI app by the driver that DRIVER names. asyncpg: the check rides on a query by hand; sqlalchemy: on an AsyncSession's;
psycopg and sync: the middleware asks. UNGUARDED leaves the guard out."""

import os
from contextlib import asynccontextmanager
from types import SimpleNamespace

import jwt
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from pg_session_guard.core.answers import NO_STORE
from pg_session_guard.core.settings import Settings
from pg_session_guard.jwt import login_claims
from pg_session_guard.starlette import SessionGuard
from pg_session_guard.starlette_middleware import SessionGuardMiddleware
from receiving import receiver_of
from sqlalchemy import BigInteger, Column, Text, create_engine, event, select, update
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from starlette.middleware.sessions import SessionMiddleware
from werkzeug.security import check_password_hash, generate_password_hash

DRIVER, GUARDED = os.environ["DRIVER"], "UNGUARDED" not in os.environ
SECRET_KEY = os.environ["SECRET_KEY"]
LOCK_TIMEOUT = float(os.environ.get("LOCK_TIMEOUT", 600))
FIELDS = "id, username, password"
statements = SimpleNamespace(count=0)


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id = Column(BigInteger, primary_key=True)
    username = Column(Text)
    password = Column(Text)


def count(*_):
    statements.count += 1


def dsn():
    return f"host={os.environ['PGHOST']} user={os.environ['PGUSER']} dbname={os.environ['PGDATABASE']}"


class LazyAsyncpg:
    """asyncpg makes its pool in the loop that runs."""

    pool = None

    async def opened(self):
        import asyncpg

        if self.pool is None:

            async def init(connection):
                connection.add_query_logger(count)

            options = {"host": os.environ["PGHOST"], "port": int(os.environ["PGPORT"])}
            options |= {"user": os.environ["PGUSER"], "database": os.environ["PGDATABASE"], "min_size": 0}
            self.pool = await asyncpg.create_pool(**options, init=init)
        return self.pool

    async def first_value(self, statement, values):
        from pg_session_guard.databases import database_of

        return await database_of(await self.opened()).first_value(statement, values)


engine = create_async_engine(os.environ["DATABASE_URL"], connect_args={"connect_timeout": 60}, pool_pre_ping=True)
event.listen(engine.sync_engine, "before_cursor_execute", count)
sessions = async_sessionmaker(engine)
asyncpg_pool = LazyAsyncpg()
if DRIVER == "psycopg":
    from psycopg_pool import AsyncConnectionPool

    pool = AsyncConnectionPool(dsn(), open=False, timeout=60)
else:
    sync = create_engine(os.environ["DATABASE_URL"])
    pool = {"asyncpg": asyncpg_pool, "sqlalchemy": engine, "sync": sync}[DRIVER]


@asynccontextmanager
async def lifespan(_app):
    if DRIVER == "psycopg":
        await pool.open()
    yield


app = FastAPI(lifespan=lifespan)
guard = SessionGuard(pool, settings=Settings(lock_timeout=LOCK_TIMEOUT, fail_open="FAIL_OPEN" in os.environ))
if DRIVER in ("psycopg", "sync") and GUARDED:
    app.add_middleware(SessionGuardMiddleware, guard=guard, open_paths=("/open", "/static"))
app.add_middleware(SessionMiddleware, secret_key=SECRET_KEY)
app.mount("/static", StaticFiles(directory="templates"))


@app.middleware("http")
async def count_statements(request, call_next):
    statements.count = 0
    response = await call_next(request)
    response.headers["X-Statements"] = str(statements.count)
    return response


async def get_db():
    async with sessions() as db:
        yield db


async def by_hand(request: Request):
    """As an app would that writes its own SQL."""
    user_id = guard.user_id(request)
    users = await asyncpg_pool.opened()
    if not GUARDED:
        return await users.fetchrow(f"SELECT {FIELDS} FROM users WHERE id = $1", int(user_id))
    row = None
    try:
        query = f"SELECT {FIELDS}, session_valid($1, $2) AS valid FROM users WHERE id = $1::bigint"
        query = query.replace("session_valid($1", "session_valid($1::bigint")
        row = await users.fetchrow(query, int(user_id), guard.login_at(request))
    except Exception as error:
        if not guard.settings.fail_open:
            raise HTTPException(503, headers=NO_STORE) from error
        return await users.fetchrow(f"SELECT {FIELDS} FROM users WHERE id = $1", int(user_id))
    guard.require(request, row and row["valid"])
    return row


async def without_guard(request: Request, db=Depends(get_db)):
    return await db.get(User, int(guard.user_id(request)))


if DRIVER == "asyncpg":
    current_user = by_hand
elif DRIVER == "sqlalchemy" and GUARDED:
    current_user = guard.load(User, get_db)
else:
    current_user = without_guard


@app.get("/login", response_class=HTMLResponse)
async def form(request: Request):
    return (guard.pop_message(request) or "") + "<form>"


@app.post("/login")
async def login(request: Request, db=Depends(get_db)):
    fields = await request.form()
    user_id = await db.scalar(select(User.id).where(User.username == fields["username"]))
    begun = await guard.begin_login(user_id) if GUARDED else ""
    # After session_start.
    hashed = await db.scalar(select(User.password).where(User.id == user_id))
    if hashed is None or not check_password_hash(hashed, fields["password"]):
        raise HTTPException(401)
    if not GUARDED:
        request.session["user_id"] = str(user_id)
    elif not await guard.log_in_at(request, user_id, begun):
        raise HTTPException(401)
    return RedirectResponse("/private", 302)


@app.get("/private", response_class=PlainTextResponse)
async def private(user=Depends(current_user)):
    return f"Logged in as {user['username'] if DRIVER == 'asyncpg' else user.username}\n"


@app.get("/api/me")
async def me(user=Depends(current_user)):
    return {"name": user["username"] if DRIVER == "asyncpg" else user.username}


@app.get("/required")
async def required(user_id=Depends(guard.required)):
    return {"id": user_id}


@app.get("/open", response_class=PlainTextResponse)
async def public():
    return "open to all"


@app.post("/password")
async def password(request: Request, user=Depends(current_user), db=Depends(get_db)):
    fields = await request.form()
    hashed = generate_password_hash(fields["new_password1"], os.environ["QUICK_HASH"])
    user_id = int(request.session["user_id"])
    await db.execute(update(User).where(User.id == user_id).values(password=hashed))
    begun = await guard.begin_login(user_id, db)
    await db.commit()
    if "meanwhile" in fields:  # Committed by somebody else.
        async with engine.begin() as connection:
            await connection.exec_driver_sql(fields["meanwhile"])
    if "plain" in fields:
        await guard.keep_session(request)
    else:
        await guard.keep_session_at(request, begun)
    return RedirectResponse("/private", 302)


@app.get("/by-orm/{active}", response_class=PlainTextResponse)
async def by_orm(active: int, db=Depends(get_db)):
    from sqlalchemy import text

    await db.execute(text("UPDATE users SET active = :active WHERE username = 'alice'"), {"active": bool(active)})
    await db.commit()
    return ""


def decode(token):
    return jwt.decode(token, SECRET_KEY, algorithms=["HS256"])


@app.post("/token")
async def token(request: Request):
    user_id = (await request.json())["id"]
    begun = await guard.begin_login(user_id)
    if begun is None:
        raise HTTPException(401)
    return {"token": jwt.encode({"sub": str(user_id), **login_claims(begun)}, SECRET_KEY, "HS256")}


@app.get("/by-token")
async def by_token(claims=Depends(guard.bearer(decode))):
    return {"id": claims["sub"]}


if receiver := receiver_of("SELECT id FROM users"):
    from pg_session_guard.receivers.starlette import receive_events, receive_logouts

    receive_logouts(app, "/backchannel-logout", receiver, guard)
    receive_events(app, "/security-events", receiver, guard)
