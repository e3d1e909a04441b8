"""For each app, a database of its own and one server."""

import pytest
from adapters import ADAPTERS


@pytest.fixture(scope="session", params=ADAPTERS, ids=lambda adapter: adapter.name)
def adapter(request):
    adapter = request.param
    adapter.create()
    yield adapter
    adapter.drop()


@pytest.fixture(scope="session")
def server(adapter, tmp_path_factory):
    with adapter.serve(tmp_path_factory.mktemp(adapter.name) / "log") as server:
        yield server


@pytest.fixture(autouse=True)
def everybody_is_enabled(request):
    yield
    if "adapter" in request.fixturenames:
        request.getfixturevalue("adapter").sql("UPDATE users SET active = true WHERE NOT active")
