"""The pages of Flask-AppBuilder, and the same by REST: who may, what they show, and that the record says who has ended
sessions."""

import re
from html import unescape
from types import SimpleNamespace

import psycopg
import pytest
import requests
from adapters import ADAPTERS, HTML, IMPATIENT, LONGEST, OWNER
from python_helpers import fab_login
from python_helpers.databases import connect
from test_sessions import without

# In a database of its own: the pages show what others would have done there.
ADAPTER = ADAPTERS[1].with_own_database("pages")
pytestmark = pytest.mark.parametrize("adapter", [ADAPTER], ids=[ADAPTER.name], indirect=True)
USERS, RECORD, FINDINGS, END = ("/session_guard/" + page for page in ("", "record/", "findings/", "end/"))
SCRIPT = "<script>alert('it''s me')</script>"
PEOPLE = {"jane": "Admin", SCRIPT: "Nobody", "staff": "Nobody", "looks": "Looks", "ends": "Ends"}
ALLOWED = {"Nobody": (), "Looks": ("can_read",), "Ends": ("can_read", "can_end_sessions")}
ROLE = "INSERT INTO ab_role (id, name) VALUES (nextval('ab_role_id_seq'), %s)"
ALLOW = """
INSERT INTO ab_permission_view_role (id, permission_view_id, role_id)
SELECT nextval('ab_permission_view_role_id_seq'), pv.id, r.id FROM ab_permission_view AS pv JOIN ab_permission AS p
ON p.id = permission_id JOIN ab_view_menu AS v ON v.id = view_menu_id, ab_role AS r
WHERE r.name = %s AND ((v.name = 'SessionGuard' AND p.name = ANY (%s)) OR v.name IN ('PrivateView', 'Security'))
"""
INSERT = """
WITH made AS (
    INSERT INTO ab_user (id, first_name, last_name, username, email, password, active)
    SELECT nextval('ab_user_id_seq'), %s, '', %s, md5(%s), password, true FROM ab_user WHERE username = 'alice'
    RETURNING id
) INSERT INTO ab_user_role (id, user_id, role_id)
SELECT nextval('ab_user_role_id_seq'), made.id, ab_role.id FROM made, ab_role WHERE name = %s
"""


@pytest.fixture(scope="module")
def server(adapter, tmp_path_factory):
    with adapter.serve(tmp_path_factory.mktemp("pages") / "log", PAGES="1", **IMPATIENT) as server:
        for role, allowed in ALLOWED.items():
            adapter.sql(ROLE, role)
            adapter.sql(ALLOW, role, list(allowed))
        for name, role in PEOPLE.items():
            adapter.sql(INSERT, name, name, name, role)
        yield server
    for role in (*ALLOWED, "Admin"):
        of_role = "(SELECT id FROM ab_role WHERE name = %s)"
        users = "SELECT id FROM ab_user WHERE username NOT IN ('alice', 'bob')"
        adapter.sql(f"DELETE FROM ab_user_role WHERE role_id = {of_role} AND user_id IN ({users})", role)
    for role in ALLOWED:
        adapter.sql(f"DELETE FROM ab_permission_view_role WHERE role_id = {of_role}", role)
    adapter.sql("DELETE FROM ab_user WHERE username NOT IN ('alice', 'bob')")
    adapter.sql("DELETE FROM ab_role WHERE name = ANY (%s)", list(ALLOWED))


@pytest.mark.parametrize("argument", ["_external", "_scheme", "_method", "_anchor", "endpoint", "self"])
def test_an_argument_of_no_page_s_own_is_left_out(adapter, server, argument):
    jane = server.logged_in("jane")
    for path in (USERS, RECORD):
        after = "2020-01-01T00:00:00%2B00:00_1" if path == RECORD else "a"
        shown = page(server, f"{path}?kind=admin&after={after}&{argument}=x", jane)
        first = unescape(re.search(r'class="previous"><a href="([^"]+)"', shown)[1])
        assert first == f"{path}?kind=admin"


def id_of(adapter, name):
    return adapter.sql("SELECT id FROM ab_user WHERE username = %s", name)


def reasons_of(adapter, name):
    read = "SELECT array_agg(reason ORDER BY at) FROM session_guard.event WHERE user_id = %s AND reason LIKE 'admin:%%'"
    return adapter.sql(read, str(id_of(adapter, name))) or []


def page(server, path, cookies, status=200):
    answer = server.get(path, cookies, **HTML)
    assert answer.status_code == status, re.sub("<[^>]+>", "", answer.text)
    return answer.text


def words(text):
    return " ".join(unescape(re.sub("<[^>]+>", " ", text)).split())


def end(server, cookies, *names, note=""):
    """As by clicks: asks for the confirmation of these users, and sends its form."""
    ids = [id_of(server.adapter, name) for name in names]
    path = END + "?" + "&".join(f"id={one}" for one in ids)
    return server.send(path, cookies, id=ids, note=note)


def delete(server, name_or_id, headers, **query):
    user_id = name_or_id if str(name_or_id).isdigit() else id_of(server.adapter, name_or_id)
    path = f"/api/v1/session_guard/users/{user_id}/sessions"
    return requests.delete(server.address + path, params=query, headers=headers, timeout=LONGEST)


def bearer(server, name):
    answer = fab_login.log_in_by_api(server.address, name, LONGEST)
    return fab_login.bearer(answer.json()["access_token"])


def test_the_sessions_of_the_selected_end_once_it_is_confirmed(adapter, server):
    jane, alice, bob = server.logged_in("jane"), server.logged_in(), server.logged_in("bob")
    shown = page(server, USERS, jane)
    assert SCRIPT not in shown and SCRIPT in words(shown)
    asked = page(server, f"{END}?id={id_of(adapter, 'alice')}&id={id_of(adapter, SCRIPT)}", jane)
    assert "All sessions of 2 users end" in words(asked) and SCRIPT in words(asked)
    assert SCRIPT not in asked and "You are among them" not in asked
    assert server.is_served(alice), "nothing ends before it is confirmed"
    answer, cookies = end(server, jane, "alice", SCRIPT, note="<b>lost</b>\n phone")
    assert answer.status_code == 302
    shown = page(server, USERS, cookies)
    assert "All sessions of 2 users have ended." in shown
    assert not server.is_served(alice)
    assert server.is_served(bob, "bob") and server.is_served(jane, "jane")
    for name in ("alice", SCRIPT):
        assert reasons_of(adapter, name) == ["admin: by jane: <b>lost</b> phone"]
    for path in (USERS, RECORD, f"{USERS}users/{id_of(adapter, 'alice')}/"):
        shown = page(server, path, jane)
        assert "<b>lost" not in shown and SCRIPT not in shown
        assert "admin: by jane: <b>lost</b> phone" in words(shown)
    assert SCRIPT in words(page(server, RECORD, jane))


def test_the_page_of_a_user_shows_the_state_and_leads_to_the_confirmation(adapter, server):
    ends, bob = server.logged_in("ends"), server.logged_in("bob")
    address = f"{USERS}users/{id_of(adapter, 'bob')}/"
    shown = page(server, address, ends)
    assert "bob bob active" in words(shown)
    assert f'href="{END}?id={id_of(adapter, "bob")}"' in shown
    end(server, ends, "bob")
    assert not server.is_served(bob, "bob")
    assert "Sessions last ended:" in page(server, address, ends)
    adapter.set_active(False, "bob")
    assert "bob bob disabled" in words(page(server, address, ends))
    assert reasons_of(adapter, "bob") == ["admin: by ends"]
    for nobody in ("0", "x", "99999999999999999999", "1_0"):
        page(server, f"{USERS}users/{nobody}/", ends, 404)
        page(server, f"{END}?id={nobody}", ends, 302)


def test_who_may_only_look_ends_nothing(adapter, server):
    looks, alice, before = server.logged_in("looks"), server.logged_in(), reasons_of(adapter, "alice")
    shown = page(server, USERS, looks)
    assert "alice" in shown and END not in re.findall('href="([^"]+)"', shown) and "checkbox" not in shown
    user = id_of(adapter, "alice")
    assert "End sessions" not in page(server, f"{USERS}users/{user}/", looks)
    page(server, RECORD, looks)
    page(server, f"{END}?id={user}", looks, 403)
    answer = requests.post(server.address + END, {"id": user}, cookies=looks, headers=HTML, timeout=LONGEST)
    assert answer.status_code == 403
    assert delete(server, "alice", bearer(server, "looks")).status_code == 403
    assert server.is_served(alice) and reasons_of(adapter, "alice") == before


def test_who_has_no_permission_sees_nothing_of_it(adapter, server):
    staff, user = server.logged_in("staff"), id_of(adapter, "alice")
    assert "session_guard" in page(server, "/private/page/", server.logged_in("jane"))
    assert "session_guard" not in page(server, "/private/page/", staff)
    for path in (USERS, RECORD, FINDINGS, f"{USERS}users/{user}/", f"{END}?id={user}"):
        page(server, path, staff, 403)
        assert server.leads_to_login(server.get(path, {}, **HTML))
    assert delete(server, "alice", bearer(server, "staff")).status_code == 403
    assert delete(server, "alice", {}).status_code == 401


def test_nobody_without_a_name_ends_sessions_whatever_a_role_allows(adapter, server):
    alice, user = server.logged_in(), id_of(adapter, "alice")
    adapter.sql(ALLOW, "Public", ["can_end_sessions"])
    try:
        page(server, f"{END}?id={user}", {}, 403)
        assert delete(server, "alice", {}).status_code in (401, 403)
    finally:
        adapter.sql("DELETE FROM ab_permission_view_role WHERE role_id = (SELECT id FROM ab_role WHERE name = 'Public')")
    assert server.is_served(alice)


def test_a_form_of_another_site_ends_nothing(adapter, server):
    jane, alice = server.logged_in("jane"), server.logged_in()
    form = {"id": id_of(adapter, "alice"), "note": "", "csrf_token": "made up"}
    for fields in (form, {"id": form["id"]}):
        answer = requests.post(server.address + END, fields, cookies=jane, headers=HTML, timeout=LONGEST)
        assert answer.status_code == 400 and "CSRF" in answer.text
    # The cookie alone, which a browser sends along.
    path = f"/api/v1/session_guard/users/{form['id']}/sessions"
    assert requests.delete(server.address + path, cookies=jane, timeout=LONGEST).status_code == 401
    assert server.is_served(alice)


def test_who_is_among_the_selected_is_warned_and_has_to_log_in_again(adapter, server):
    jane = server.logged_in("jane")
    assert "You are among them" in page(server, f"{END}?id={id_of(adapter, 'jane')}", jane)
    assert end(server, jane, "jane", "bob")[0].status_code == 302
    assert server.leads_to_login(server.get(USERS, jane, **HTML))


def test_a_program_ends_sessions_by_a_token(adapter, server):
    alice, jane = server.logged_in(), bearer(server, "jane")
    answer = delete(server, "alice", jane, reason="<i>left</i> the\0 company")
    assert (answer.status_code, answer.json()) == (200, {"message": "OK"})
    assert not server.is_served(alice)
    assert reasons_of(adapter, "alice")[-1] == "admin: by jane: <i>left</i> the company"
    for nobody in (4711, "%00", "x"):
        path = f"{server.address}/api/v1/session_guard/users/{nobody}/sessions"
        assert requests.delete(path, headers=jane, timeout=LONGEST).status_code == 404
    assert delete(server, "jane", jane).status_code == 200
    assert delete(server, "alice", jane).status_code == 401, "the administrator's own token has ended"


def test_a_change_that_is_not_committed_is_told(adapter, server):
    jane, token, bob = server.logged_in("jane"), bearer(server, "jane"), server.logged_in("bob")
    with psycopg.connect(dbname=adapter.database) as other:
        other.execute("UPDATE ab_user SET active = false WHERE username = 'alice'")
        answer, cookies = end(server, jane, "bob", "alice")
        refused = delete(server, "alice", token)
        other.rollback()
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert "Nothing was ended" in page(server, USERS, cookies)
    assert server.is_served(bob, "bob")


def test_the_record_is_filtered_and_read_in_pages(adapter, server):
    jane = server.logged_in("jane")
    adapter.set_active(False, "bob")
    adapter.set_active(True, "bob")

    def rows(query):
        shown = page(server, f"{RECORD}?{query}", jane)
        return re.findall(r"<tr><td>(\d{4}-[^<]+)</td>", shown)

    assert len(rows("kind=disabled")) < len(rows("kind=enabled&user=")) + len(rows("kind=disabled")) < len(rows(""))
    assert len(rows("guard=public.ab_user")) == len(rows("")) and not rows("guard=public.others")
    of_bob = rows(f"user={id_of(adapter, 'bob')}")
    assert of_bob == rows("user=bob") and 2 <= len(of_bob) < len(rows(""))
    assert rows("kind=nothing&period=century&after=x") == rows("")
    assert rows("period=hour") == rows("") and not rows("user=<script>")
    adapter.sql("SELECT session_guard.revoke_tokens('dashboard', '<i>7</i>')")
    adapter.sql("SELECT session_guard.revoke_all_sessions('ab_user')")
    jane = server.logged_in("jane")
    shown = page(server, RECORD, jane)
    assert "token dashboard: &lt;i&gt;7" in shown and "all users" in shown
    adapter.sql("""INSERT INTO session_guard.event (at, guard, user_id, epoch, reason, login_role, acting_role, transaction_id)
        SELECT now() - n * interval '1 s', 'public.ab_user', '1', now(), 'many', 'app', 'app', '1'
        FROM generate_series(100001, 100075) AS n""")
    try:
        before = "user=1&after=2020-01-01T00:00:00%2B00:00_1"
        assert not rows(before)
        first = page(server, f"{RECORD}?user=1", jane)
        following = unescape(re.search(r'class="next"><a href="([^"]+)"', first)[1])
        second = page(server, following, jane)
        seen = [re.findall(r"<tr><td>(\d{4}-[^<]+)</td>", shown) for shown in (first, second)]
        assert len(seen[0]) == 50 and 25 <= len(seen[1]) < 50 and max(seen[1]) <= min(seen[0])
        assert "First page" in second and "Next page" not in second
        assert "The whole record of this user" in page(server, f"{USERS}users/1/", jane)
    finally:
        adapter.sql("DELETE FROM session_guard.event WHERE reason = 'many'")


def test_findings_are_shown_with_what_mends_them(adapter, server):
    jane = server.logged_in("jane")
    assert "Nothing is wrong" in page(server, FINDINGS, jane)
    adapter.sql("ALTER TABLE ab_user DISABLE TRIGGER USER")
    try:
        shown = words(page(server, FINDINGS, jane))
        assert "armed : public.ab_user" in shown
        remedy = re.search(r"SELECT session_guard\.reconcile\([^;]*;?", shown)[0]
    finally:
        adapter.sql("ALTER TABLE ab_user ENABLE TRIGGER USER")
    adapter.sql(remedy)
    adapter.sql("SELECT session_guard.revoke_all_sessions('ab_user')")
    assert "Nothing is wrong" in page(server, FINDINGS, server.logged_in("jane"))


def test_what_the_role_of_the_app_lacks_is_told(adapter, server):
    jane, token, user = server.logged_in("jane"), bearer(server, "jane"), id_of(adapter, "alice")
    with without(adapter, "event_key"), without(adapter, "revoke_sessions"), without(adapter, "health"):
        for path in (USERS, RECORD, FINDINGS, f"{USERS}users/{user}/", f"{END}?id={user}"):
            assert f"The database role {OWNER} may not" in page(server, path, jane)
        refused = delete(server, "alice", token)
        assert refused.status_code == 500 and f"TO {OWNER};" in refused.json()["message"]


def test_a_hundred_thousand_users_are_read_a_page_at_a_time(adapter, server):
    jane = server.logged_in("jane")
    count = server.statements(USERS, jane)
    # In another order by their names than by anything else that has an index.
    adapter.sql("""INSERT INTO ab_user (id, first_name, last_name, username, email, active)
        SELECT n, 'Some', 'Body', 'user ' || to_char(n, 'FM0000000'), 3000000 - n, true FROM generate_series(1000001, 1100000) AS n""")
    adapter.sql("""INSERT INTO session_guard.event (at, guard, user_id, epoch, reason, login_role, acting_role, transaction_id)
        SELECT now() - n * interval '1 s', 'public.ab_user', n, now(), 'many', 'app', 'app', '1'
        FROM generate_series(1000001, 1100000) AS n""")
    adapter.sql("ANALYZE ab_user, session_guard.event")
    try:
        assert server.statements(USERS, jane) == count
        shown = page(server, f"{USERS}?q=user+00&after=user+1050000", jane)
        assert "There is no such user" in shown
        shown = page(server, f"{USERS}?after=user+1050000", jane)
        assert "user 1050001" in shown and "user 1050050" in shown and "user 1050051" not in shown
        assert words(page(server, f"{USERS}?q=R+105000", jane)).count("Some Body") == 10
        assert "There is no such user" in page(server, f"{USERS}?q=%25_%5C", jane)
        scanned = [plan for plan in plans(adapter) if re.search(r"Seq Scan on (ab_user|event)", plan)]
        assert not scanned, scanned[0]
    finally:
        adapter.sql("DELETE FROM session_guard.event WHERE reason = 'many'")
        with connect(adapter.database) as db:
            # Foreign keys lead from the table to itself, and have no index.
            db.execute("SET session_replication_role = replica")
            db.execute("ALTER TABLE ab_user DISABLE TRIGGER session_guard_delete")
            db.execute("DELETE FROM ab_user WHERE id > 1000000")
            db.execute("ALTER TABLE ab_user ENABLE ALWAYS TRIGGER session_guard_delete")


def plans(adapter):
    """Of each statement of the pages that do not search."""
    from flask_appbuilder.security.sqla.models import User
    from pg_session_guard.core.administration import Filter
    from pg_session_guard.core.settings import Settings
    from pg_session_guard.fab_sessions import Sessions
    from pg_session_guard.sqlalchemy import UserQuery, for_class
    from sqlalchemy import create_engine, event
    from sqlalchemy.orm import Session

    engine, asked = create_engine(f"postgresql+psycopg://@/{adapter.database}"), []
    event.listen(engine, "before_cursor_execute", lambda _, __, *asking: asked.append(asking[:2]))
    settings = for_class(Settings(), User)
    with Session(engine) as session:
        query = UserQuery(User, settings)
        guard = SimpleNamespace(settings=settings, user_class=User, db_session=session, query=query)
        sessions = Sessions(guard)
        assert len(sessions.users(None, None)[0]) == 50
        sessions.users(None, "user 1050000")
        sessions.user("1050000")
        sessions.history("1050000")
        assert len(sessions.record(Filter())[0]) == 50
        events, _ = sessions.record(Filter(user_id="1050000"))
        sessions.names_of(events, "public.ab_user")
        place = events[0].place
        assert len(sessions.record(Filter(after=place))[0]) == 50
        assert len(asked) >= 10
        connection = session.connection()
        return [
            "\n".join(connection.exec_driver_sql(f"EXPLAIN {statement}", values).scalars())
            for statement, values in [*asked]
        ]


ODD = ["?q=%00", "?after=%00", "?after=%ED%A0%80", "?q=%ED%A0%80", "?page_Sessions=%00", "?after=" + "9" * 5000]
ODD_RECORD = [f"?{name}=%00" for name in ("guard", "kind", "period", "user", "after", "nonsense")]
ODD_RECORD += [f"?after={place}_1" for place in ("0001-01-01T00:00:00%2B23:59", "9999-12-31T23:59:59-23:59", "2026-13-01T00:00:00Z")]
ODD_RECORD += ["?after=2026-01-01T00:00:00%2B00:00_" + "9" * 18, "?user=" + "9" * 5000, "?guard=nobody%27s&kind=nonsense&period=century"]
ODD_USERS = ["users/%00/", "users/99999999999999999999/", "users/nonsense/", "users/1_0/", "users/%D9%A1/", "users/-1/", f"users/{'9' * 5000}/"]


def test_what_no_page_asks_for_is_no_error(adapter, server):
    jane = server.logged_in("jane")
    paths = [USERS + odd for odd in ODD] + [RECORD + odd for odd in ODD_RECORD] + [USERS + odd for odd in ODD_USERS]
    paths += [f"{END}?id={odd}" for odd in ("%00", "nonsense", "-1", "9" * 5000, "9" * 30, "1&id=1&id=%00")]
    headers = bearer(server, "jane")
    statuses = {path[:80]: server.get(path, jane, **HTML).status_code for path in paths}
    for odd in ("%00", "nonsense", "-1", "9" * 30, "%D9%A1", "%ED%A0%80"):
        path = f"{server.address}/api/v1/session_guard/users/{odd}/sessions?reason=%00{'x' * 500}"
        statuses[f"DELETE {odd}"] = requests.delete(path, headers=headers, timeout=LONGEST).status_code
    assert {path: status for path, status in statuses.items() if status not in (200, 302, 404)} == {}
