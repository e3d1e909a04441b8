"""The pages where sessions are ended: Superset's administrators alone get them."""

import re

import pytest
import requests
from client import TIMEOUT, Browser, api_login
from conftest import run
from python_helpers import PASSWORD
from python_helpers.fab_login import bearer

USERS, END = "/session_guard/", "/session_guard/end/"
ROLES = """
SELECT array_agg(DISTINCT r.name::text ORDER BY r.name::text) FROM ab_role AS r JOIN ab_permission_view_role AS pvr ON r.id = role_id
JOIN ab_permission_view AS pv ON pv.id = permission_view_id JOIN ab_view_menu AS v ON v.id = view_menu_id
WHERE v.name = %s
"""


@pytest.fixture(scope="module")
def others(database, guarded):
    run("python", "-c", f"""
from superset.app import create_app
app = create_app()
with app.app_context():
    users = app.appbuilder.sm
    for name in ("Alpha", "Gamma"):
        assert users.add_user(name, name, name, f"{{name}}@example.com", users.find_role(name), {PASSWORD!r})
""")
    return ["Alpha", "Gamma"]


def id_of(database, name):
    return database.execute("SELECT id FROM ab_user WHERE username = %s", (name,)).fetchone()[0]


@pytest.mark.parametrize("menu", ["SessionGuard", "Sessions"])
def test_only_administrators_get_the_permissions(database, guarded, menu):
    assert database.execute(ROLES, (menu,)).fetchone()[0] == ["Admin"]


def test_only_administrators_see_the_pages_and_end_sessions(database, guarded, admin, others):
    assert USERS in admin.ask("GET", "/api/v1/menu/").text
    for name in others:
        other = Browser(guarded, name)
        assert USERS not in other.ask("GET", "/api/v1/menu/").text
        for path in (USERS, f"{USERS}record/", f"{USERS}findings/", f"{END}?id=1"):
            assert other.ask("GET", path).status_code == 403
        token = bearer(api_login(guarded, name).json()["access_token"])
        path = f"{guarded}/api/v1/session_guard/users/1/sessions"
        assert requests.delete(path, headers=token, timeout=TIMEOUT).status_code == 403


def test_an_administrator_ends_sessions_by_the_form_and_by_a_token(database, guarded, admin):
    bob, user = Browser(guarded, "bob"), id_of(database, "bob")
    assert bob.page() == 200
    for path in (USERS, f"{USERS}record/", f"{USERS}findings/"):
        assert admin.ask("GET", path).status_code == 200
    form = admin.ask("GET", f"{END}?id={user}").text
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', form)[1]
    assert admin.ask("POST", END, data={"id": user}).status_code in (302, 400)
    assert bob.page() == 200
    answer = admin.ask("POST", END, data={"id": user, "note": "left", "csrf_token": token}, headers={"Referer": guarded})
    assert (answer.status_code, bob.page()) == (302, "/login/")
    bob, path = Browser(guarded, "bob"), f"{guarded}/api/v1/session_guard/users/{user}/sessions"
    token = bearer(api_login(guarded, "admin").json()["access_token"])
    assert requests.delete(path, headers=token, timeout=TIMEOUT).status_code == 200
    assert bob.page() == "/login/"
    read = "SELECT array_agg(reason ORDER BY at) FROM session_guard.event WHERE user_id = %s AND reason LIKE 'admin%%'"
    assert database.execute(read, (str(user),)).fetchone()[0] == ["admin: by admin: left", "admin: by admin"]
