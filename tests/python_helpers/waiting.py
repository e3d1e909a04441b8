"""Waiting for something, and calls in the background."""

import threading
import time

from .databases import connect


def wait_until(what, question, patience=120, pause=0.02):
    """Asks until the answer is true, and gives it; fails after `patience` seconds. `what` may be a function."""
    deadline = time.monotonic() + patience
    while not (answer := question()):
        assert time.monotonic() < deadline, f"not within {patience} s: {what() if callable(what) else what}"
        time.sleep(pause)
    return answer


def wait_until_somebody_waits_for_a_lock(database, how_many=1):
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with connect(database) as db:
        wait_until(
            "somebody waits for a lock",
            lambda: db.execute(waiting).fetchone()[0] >= how_many,
            patience=120,
        )


class Background(threading.Thread):
    """Calls a function in another thread; result() waits for it."""

    def __init__(self, function, *arguments):
        super().__init__(daemon=True)
        self.call = lambda: function(*arguments)
        self.start()

    def run(self):
        self.answer = self.call()

    def result(self):
        self.join(120)
        assert not self.is_alive(), "no answer"
        return self.answer
