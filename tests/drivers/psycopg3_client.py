"""psycopg 3: values are sent as parameters, each with its type; strings without one."""

import psycopg
from natural import CASES, run

connection = psycopg.connect("", autocommit=True)


def way(prepare):
    def ask(function, arguments):
        places = ", ".join(["%s"] * len(arguments))
        values = [value for _kind, value in arguments]
        return connection.execute(f"SELECT {function}({places})", values, prepare=prepare).fetchone()[0]

    def round_trip(user_id):
        def is_valid():
            return connection.execute("SELECT session_valid(%s, %s)", (user_id, login_at), prepare=prepare).fetchone()[0]

        connection.execute("SELECT stamp(%s)", (str(user_id),))
        login_at = connection.execute("SELECT session_start(%s)", (user_id,), prepare=prepare).fetchone()[0]
        before = is_valid()
        connection.execute("SELECT stamp(%s)", (str(user_id),))
        return f"{before} {is_valid()}"

    return ask, round_trip


run(connection.execute(CASES).fetchall(), {"prepared": way(True), "unprepared": way(False)}, psycopg.Error)
