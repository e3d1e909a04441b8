"""An app for each class of tests, and sessions of two users."""

import pytest
from stock import OWNER


@pytest.fixture(scope="class")
def app(request):
    with request.cls.app_class().installed() as app:
        yield app


@pytest.fixture(scope="class")
def address(app, tmp_path_factory):
    with app.served(tmp_path_factory.mktemp(app.database) / "log") as address:
        yield address


@pytest.fixture
def store(app, address):
    """The store is there, and afterwards every account is enabled."""
    app.sql(app.add_store, user=OWNER)
    yield
    app.sql(app.update(app.enable, who=""))


@pytest.fixture
def alice(app, address, store):
    cookies = app.log_in(address, "alice")
    assert app.is_served(address, cookies)
    return cookies


@pytest.fixture
def bob(app, address, store):
    cookies = app.log_in(address, "bob")
    assert app.is_served(address, cookies, "bob")
    return cookies
