"""How many statements a request has run, as a header of its answer."""

from flask import g
from sqlalchemy import event
from sqlalchemy.engine import Engine


def count_statements(app):
    @event.listens_for(Engine, "before_cursor_execute")
    def count(*_):
        if g:
            g.statements = g.get("statements", 0) + 1

    @app.after_request
    def tell(response):
        response.headers["X-Statements"] = g.get("statements", 0)
        return response
