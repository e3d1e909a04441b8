"""How many statements a request has run, as a header of its answer."""

from flask import g
from sqlalchemy import event
from sqlalchemy.engine import Engine


def count(*_):
    if g:
        g.statements = g.get("statements", 0) + 1


def tell(response):
    response.headers["X-Statements"] = g.get("statements", 0)
    return response


def count_statements(app):
    if not event.contains(Engine, "before_cursor_execute", count):
        event.listen(Engine, "before_cursor_execute", count)
    app.after_request(tell)
