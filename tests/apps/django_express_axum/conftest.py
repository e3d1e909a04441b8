"""For each app, a database of its own and one server."""

import pytest
from apps import APPS
from python_helpers.ordering import group_by


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    group_by(items, "app")


@pytest.fixture(scope="session", params=APPS, ids=lambda app: app.name)
def app(request):
    app = request.param
    app.create_database()
    for command in app.setup:
        done = app.run(*command)
        assert done.returncode == 0, done.stdout
    yield app
    app.drop_database()


@pytest.fixture(scope="session")
def server(app, tmp_path_factory):
    with app.serve(tmp_path_factory.mktemp(app.name) / "log") as address:
        yield address


@pytest.fixture(autouse=True)
def alice_is_enabled(app):
    yield
    app.sql(f"UPDATE {app.table} SET {app.active} = true WHERE NOT {app.active}")

