"""SQLAlchemy with psycopg: by text(), where the driver types the values, and by func, where SQLAlchemy does."""

from natural import CASES, run
from sqlalchemy import create_engine, func, select, text
from sqlalchemy.exc import SQLAlchemyError



def connect(prepare_threshold):
    """psycopg prepares a statement that it has met so often; 5 by default."""
    engine = create_engine(
        "postgresql+psycopg://", isolation_level="AUTOCOMMIT", connect_args={"prepare_threshold": prepare_threshold}
    )
    return engine.connect()


def by_text(session):
    def ask(function, arguments):
        places = ", ".join(f":p{n}" for n in range(len(arguments)))
        values = {f"p{n}": value for n, (_kind, value) in enumerate(arguments)}
        return session.scalar(text(f"SELECT {function}({places})"), values)

    def round_trip(user_id):
        def is_valid():
            valid = session.scalar(text("SELECT session_valid(:id, :at)"), {"id": str(user_id), "at": login_at})
            return valid

        session.scalar(text("SELECT stamp(:id)"), {"id": str(user_id)})
        login_at = session.scalar(text("SELECT session_start(:id)"), {"id": str(user_id)})
        before = is_valid()
        session.scalar(text("SELECT stamp(:id)"), {"id": str(user_id)})
        return f"{before} {is_valid()}"

    return ask, round_trip


def by_func(session):
    def ask(function, arguments):
        return session.scalar(select(getattr(func, function)(*(value for _kind, value in arguments))))

    def round_trip(user_id):
        def is_valid():
            valid = session.scalar(select(func.session_valid(user_id, login_at)))
            return valid

        session.scalar(select(func.stamp(str(user_id))))
        login_at = session.scalar(select(func.session_start(user_id)))
        before = is_valid()
        session.scalar(select(func.stamp(str(user_id))))
        return f"{before} {is_valid()}"

    return ask, round_trip


unprepared = connect(None)
ways = {"text": by_text(unprepared), "func": by_func(unprepared), "prepared": by_text(connect(5))}
run([tuple(case) for case in unprepared.execute(text(CASES))], ways, SQLAlchemyError)
