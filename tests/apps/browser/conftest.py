"""The Flask-AppBuilder example's application and servers of it."""

from python_helpers.flask_appbuilder import application, everybody_is_enabled, server  # noqa: F401
