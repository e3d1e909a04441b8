"""What the Python clients share: the cases with Python's natural values, and how they are put to a driver."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

CASES = "SELECT name, ask, guard, id_as, id, login_as, login FROM cases ORDER BY name, guard"
VALUES = {"int": int, "bigint": int, "uuid": UUID, "numeric": Decimal, "aware": datetime.fromisoformat,
          "naive": datetime.fromisoformat}


def natural(kind, text):
    """The pair of a kind and a value of it; what has no type of its own stays a string."""
    return kind, None if text is None else VALUES.get(kind, str)(text)


def run(cases, ways, *errors):
    """Prints what each case gives in each way of asking.

    A way is a pair of functions: `ask(function, arguments)`, the arguments being pairs of a kind and a value, and
    `round_trip(user_id)`. `errors` are the base classes of the driver's errors.
    """
    for name, *case in cases:
        for way, (ask, round_trip) in ways.items():
            for call in calls(case[0]):
                try:
                    answer = put(call, ask, round_trip, *case)
                except (*errors, TypeError, ValueError) as failure:
                    answer = outcome_of(failure)
                print(name, case[1] or "", call, way, str(answer).lower(), sep="\t")


def calls(ask):
    return {"session": ["session_verdict", "session_valid"], "token": ["token_valid"], "round trip": ["round_trip"]}[ask]


def put(call, ask, round_trip, _ask, guard, id_as, id, login_as, login):
    user = natural(id_as, id)
    if call == "round_trip":
        return round_trip(user[1])
    which = [("text", guard)] if guard is not None else []
    if login_as == "read":
        login_at = "aware", ask("read_time", [("text", login)])
    elif login_as == "started":
        login_at = "aware", ask("session_start", [*which, user])
    else:
        login_at = natural(login_as, login)
    return ask(call, [*which, user, login_at])


def outcome_of(failure):
    """The server's SQLSTATE, wherever the driver has it, or that the driver itself refused the value."""
    failure = getattr(failure, "orig", failure)
    state = getattr(failure, "sqlstate", None) or getattr(failure, "pgcode", None)
    return f"error {state or 'client'}"
