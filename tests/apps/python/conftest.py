"""For each adapter, a database of its own and one server."""

import pytest
from adapters import ADAPTERS, MEMBERS, OWNER
from python_helpers.ordering import group_by


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    group_by(items, "adapter")


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
        adapter = request.getfixturevalue("adapter")
        adapter.sql(f"UPDATE {adapter.table} SET {adapter.active} = true WHERE NOT {adapter.active}")


@pytest.fixture
def password(adapter):
    if adapter.password is None:
        pytest.skip("a new password ends nothing here")
    read = f"SELECT password FROM {adapter.table} WHERE username = 'alice'"
    old = adapter.sql(read)
    yield adapter.password
    adapter.sql(f"UPDATE {adapter.table} SET password = %s WHERE username = 'alice'", old)


@pytest.fixture
def members(adapter):
    """Guarded beside the default guard's users, under the same ids."""
    adapter.sql('CREATE SCHEMA "Club"', user=OWNER)
    adapter.sql(f"CREATE TABLE {MEMBERS} (id bigint PRIMARY KEY, username text, active bool)", user=OWNER)
    adapter.sql(f"INSERT INTO {MEMBERS} SELECT id, username, true FROM users", user=OWNER)
    adapter.sql(f"SELECT session_guard.attach('{MEMBERS}')", user=OWNER)
    yield
    adapter.sql(f"SELECT session_guard.detach('{MEMBERS}', forget => true)", user=OWNER)
    adapter.sql('DROP SCHEMA "Club" CASCADE')
