"""psycopg 3: values are sent as parameters, each with its type; strings without one."""

import psycopg
from natural import CASES, run


def way(prepare_threshold):
    connection = psycopg.connect("", autocommit=True)
    # By itself, psycopg prepares a statement when it is run for the sixth time.
    connection.prepare_threshold = prepare_threshold

    def ask(function, arguments):
        places = ", ".join(["%s"] * len(arguments))
        values = [value for _kind, value in arguments]
        return connection.execute(f"SELECT {function}({places})", values).fetchone()[0]

    def round_trip(user_id):
        def is_valid():
            valid = connection.execute("SELECT session_valid(%s, %s)", (user_id, login_at)).fetchone()[0]
            return valid

        connection.execute("SELECT stamp(%s)", (str(user_id),))
        login_at = connection.execute("SELECT session_start(%s)", (user_id,)).fetchone()[0]
        before = is_valid()
        connection.execute("SELECT stamp(%s)", (str(user_id),))
        return f"{before} {is_valid()}"

    return ask, round_trip


cases = psycopg.connect("").execute(CASES).fetchall()
run(cases, {"prepared": way(0), "unprepared": way(None)}, psycopg.Error)
