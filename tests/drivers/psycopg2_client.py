"""psycopg 2: the driver writes values into the statement, each with its type."""

import psycopg2
import psycopg2.extras
from natural import CASES, run

connection = psycopg2.connect("")
connection.autocommit = True
psycopg2.extras.register_uuid()
cursor = connection.cursor()


def ask(function, arguments):
    places = ", ".join(["%s"] * len(arguments))
    cursor.execute(f"SELECT {function}({places})", [value for _kind, value in arguments])
    return cursor.fetchone()[0]


def start(user_id):
    cursor.execute("SELECT session_start(%s)", (user_id,))
    login_at = cursor.fetchone()[0]
    return login_at


def round_trip(user_id):
    def is_valid():
        cursor.execute("SELECT session_valid(%s, %s)", (user_id, login_at))
        valid = cursor.fetchone()[0]
        return valid

    cursor.execute("SELECT stamp(%s)", (str(user_id),))
    login_at = start(user_id)
    before = is_valid()
    cursor.execute("SELECT stamp(%s)", (str(user_id),))
    return f"{before} {is_valid()}"


cursor.execute(CASES)
run(cursor.fetchall(), {"literals": (ask, round_trip)}, psycopg2.Error)
