"""SQLAlchemy with psycopg: by text(), where the driver types the values, and by func, where SQLAlchemy does."""

from natural import CASES, run
from sqlalchemy import create_engine, func, select, text
from sqlalchemy.exc import SQLAlchemyError

engine = create_engine("postgresql+psycopg://", isolation_level="AUTOCOMMIT")
session = engine.connect()


def ask_by_text(function, arguments):
    places = ", ".join(f":p{n}" for n in range(len(arguments)))
    values = {f"p{n}": value for n, (_kind, value) in enumerate(arguments)}
    return session.scalar(text(f"SELECT {function}({places})"), values)


def ask_by_func(function, arguments):
    return session.scalar(select(getattr(func, function)(*(value for _kind, value in arguments))))


def round_trip_by_text(user_id):
    def is_valid():
        return session.scalar(text("SELECT session_valid(:id, :at)"), {"id": str(user_id), "at": login_at})

    session.scalar(text("SELECT stamp(:id)"), {"id": str(user_id)})
    login_at = session.scalar(text("SELECT session_start(:id)"), {"id": str(user_id)})
    before = is_valid()
    session.scalar(text("SELECT stamp(:id)"), {"id": str(user_id)})
    return f"{before} {is_valid()}"


def round_trip_by_func(user_id):
    def is_valid():
        return session.scalar(select(func.session_valid(user_id, login_at)))

    session.scalar(select(func.stamp(str(user_id))))
    login_at = session.scalar(select(func.session_start(user_id)))
    before = is_valid()
    session.scalar(select(func.stamp(str(user_id))))
    return f"{before} {is_valid()}"


ways = {"text": (ask_by_text, round_trip_by_text), "func": (ask_by_func, round_trip_by_func)}
run([tuple(case) for case in session.execute(text(CASES))], ways, SQLAlchemyError)
