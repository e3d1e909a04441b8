"""What a request wants to know when it reads its user. The backend that reads the user answers
it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass
class Question:
    kept: str | None
    # None: it was not asked, as by a backend that does not know of it.
    valid: bool | None = None


_question: ContextVar[Question | None] = ContextVar("pg_session_guard_question", default=None)


@contextmanager
def asked(question: Question) -> Iterator[None]:
    token = _question.set(question)
    try:
        yield
    finally:
        _question.reset(token)


def current_question() -> Question | None:
    return _question.get()
