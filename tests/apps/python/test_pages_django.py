"""The pages of Django's admin: who may, what they show, and that the record says who has ended sessions."""

import re
import sys
from html import unescape

import psycopg
import pytest
import requests
from adapters import ADAPTERS, HTML, IMPATIENT, LONGEST, MANAGE
from test_sessions import without

# In a database of its own: the pages show what others would have done there.
ADAPTER = ADAPTERS[2].with_own_database("pages")
pytestmark = pytest.mark.parametrize("adapter", [ADAPTER], ids=[ADAPTER.name], indirect=True)
USERS, RECORD, FINDINGS = "/admin/people/person/", "/admin/pg_session_guard/event/", "/admin/pg_session_guard/finding/"
SCRIPT = "<script>alert('it''s me')</script>"
END = "end_all_sessions"
INSERT = """
INSERT INTO "Staff Members" (number, password, is_superuser, username, first_name, last_name, email, is_staff, is_active, date_joined)
SELECT gen_random_uuid(), password, %s, %s, '', '', '', %s, true, now() FROM "Staff Members" WHERE username = 'alice'
"""
ALLOW = """
INSERT INTO "Staff Members_user_permissions" (person_id, permission_id)
SELECT number, auth_permission.id FROM "Staff Members", auth_permission WHERE username = %s AND codename = ANY (%s)
"""


@pytest.fixture(scope="module")
def server(adapter, tmp_path_factory):
    with adapter.serve(tmp_path_factory.mktemp("pages") / "log", **IMPATIENT) as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def people(adapter):
    """`looks` may see sessions, `ends` may end them as well, and `staff` may only see users."""
    adapter.sql(INSERT, True, "jane", True)
    adapter.sql(INSERT, False, SCRIPT, False)
    for name, allowed in {"staff": [], "looks": ["view_event"], "ends": ["view_event", "end_sessions"]}.items():
        adapter.sql(INSERT, False, name, True)
        adapter.sql(ALLOW, name, ["view_person", *allowed])
    yield
    adapter.sql("DELETE FROM \"Staff Members_user_permissions\"")
    adapter.sql("DELETE FROM django_admin_log")
    adapter.sql("DELETE FROM \"Staff Members\" WHERE username NOT IN ('alice', 'bob')")


def number_of(adapter, name):
    return str(adapter.sql('SELECT number FROM "Staff Members" WHERE username = %s', name))


def reasons_of(adapter, name):
    read = "SELECT array_agg(reason ORDER BY at) FROM session_guard.event WHERE user_id = %s AND reason LIKE 'admin:%%'"
    return adapter.sql(read, number_of(adapter, name)) or []


def select(server, cookies, *names, **fields):
    numbers = [number_of(server.adapter, name) for name in names]
    return server.send(USERS, cookies, action=END, _selected_action=numbers, **fields)[0]


def page(server, path, cookies, status=200):
    answer = server.get(path, cookies, **HTML)
    assert answer.status_code == status, re.sub("<[^>]+>", "", answer.text)
    return answer.text


def words(text):
    return " ".join(unescape(re.sub("<[^>]+>", " ", text)).split())


def test_the_sessions_of_the_selected_end_once_it_is_confirmed(adapter, server):
    jane, alice, bob = server.logged_in("jane"), server.logged_in(), server.logged_in("bob")
    answer = select(server, jane, "alice", SCRIPT, index="0")
    assert answer.status_code == 200
    assert "All sessions of 2 users end" in words(answer.text) and SCRIPT in unescape(answer.text)
    assert SCRIPT not in answer.text and "You are among them" not in answer.text
    assert server.is_served(alice), "nothing ends before it is confirmed"
    answer = select(server, jane, "alice", SCRIPT, confirmed="yes", note="<b>lost</b>\n phone")
    assert answer.status_code == 302
    assert "All sessions of 2 users have ended." in page(server, USERS, {**jane, **answer.cookies})
    assert not server.is_served(alice)
    assert server.is_served(bob, "bob") and server.is_served(jane, "jane")
    for name in ("alice", SCRIPT):
        assert reasons_of(adapter, name) == ["admin: by jane: <b>lost</b> phone"]
    for path in (RECORD, f"{USERS}{number_of(adapter, 'alice')}/change/"):
        shown = page(server, path, jane)
        assert "<b>lost" not in shown and SCRIPT not in shown
        assert "admin: by jane: <b>lost</b> phone" in words(shown)
    assert SCRIPT in words(page(server, RECORD, jane))


def test_the_page_of_a_user_shows_the_state_and_leads_to_the_confirmation(adapter, server):
    ends, bob = server.logged_in("ends"), server.logged_in("bob")
    address = f"{USERS}{number_of(adapter, 'bob')}/change/"
    shown = page(server, address, ends)
    assert "State: active" in words(shown)
    end = re.search(r'href="([^"]+/end_sessions/)"', shown)[1]
    page(server, end, ends)
    assert server.is_served(bob, "bob")
    answer, _ = server.send(end, ends, confirmed="yes", note="")
    assert (answer.status_code, answer.headers["Location"]) == (302, address)
    assert not server.is_served(bob, "bob")
    assert "Sessions last ended:" in page(server, address, ends)
    adapter.set_active(False, "bob")
    assert "State: disabled" in words(page(server, address, ends))
    assert reasons_of(adapter, "bob") == ["admin: by ends"]


def test_who_may_only_look_ends_nothing(adapter, server):
    looks, alice = server.logged_in("looks"), server.logged_in()
    before = reasons_of(adapter, "alice")
    shown = page(server, f"{USERS}{number_of(adapter, 'alice')}/change/", looks)
    assert "State: active" in words(shown) and "end_sessions" not in shown
    assert END not in page(server, USERS, looks)
    page(server, RECORD, looks)
    page(server, FINDINGS, looks, 403)
    select(server, looks, "alice", confirmed="yes")
    path = f"{USERS}{number_of(adapter, 'alice')}/end_sessions/"
    page(server, path, looks, 403)
    token = {"csrfmiddlewaretoken": "a" * 32, "confirmed": "yes"}
    cookies = {**looks, "csrftoken": "a" * 32}
    answer = requests.post(server.address + path, token, cookies=cookies, timeout=LONGEST)
    assert answer.status_code == 403 and "CSRF" not in answer.text
    assert server.is_served(alice) and reasons_of(adapter, "alice") == before


def test_who_has_no_permission_sees_nothing_of_it(adapter, server):
    staff, alice = server.logged_in("staff"), server.logged_in()
    number = number_of(adapter, "alice")
    assert "session_guard" not in page(server, "/admin/", staff)
    assert END not in page(server, USERS, staff)
    assert "State:" not in words(page(server, f"{USERS}{number}/change/", staff))
    for path in (RECORD, FINDINGS, f"{RECORD}1/change/", f"{FINDINGS}1/change/", f"{USERS}{number}/end_sessions/"):
        page(server, path, staff, 403)
        assert server.get(path, alice | {"sessionid": "none"}, **HTML).status_code == 302
    select(server, staff, "alice", confirmed="yes")
    assert server.is_served(alice)


def test_a_form_of_another_site_ends_nothing(adapter, server):
    jane, alice = server.logged_in("jane"), server.logged_in()
    number = number_of(adapter, "alice")
    form = {"action": END, "_selected_action": [number], "confirmed": "yes"}
    for path in (USERS, f"{USERS}{number}/end_sessions/"):
        answer = requests.post(server.address + path, form, cookies=jane, timeout=LONGEST)
        assert answer.status_code == 403 and "CSRF" in answer.text
    assert server.is_served(alice)


def test_who_is_among_the_selected_is_warned_and_has_to_log_in_again(adapter, server):
    jane = server.logged_in("jane")
    assert "You are among them" in select(server, jane, "jane", "bob", index="0").text
    assert select(server, jane, "jane", "bob", confirmed="yes").status_code == 302
    answer = server.get(USERS, jane, **HTML)
    assert answer.status_code == 302 and "/admin/login/" in answer.headers["Location"]


def test_all_that_a_filter_finds_are_ended_and_nobody_else(adapter, server):
    ends, jane, alice = server.logged_in("ends"), server.logged_in("jane"), server.logged_in()
    found = f"{USERS}?is_superuser__exact=1"
    numbers = [number_of(adapter, "jane")]
    fields = {"action": END, "_selected_action": numbers, "select_across": "1"}
    confirmation = server.send(found, ends, **fields, index="0")[0].text
    assert "All sessions of 3 users end" in words(confirmation)
    assert 'name="select_across" value="1"' in confirmation
    server.send(found, ends, **fields, confirmed="yes")
    assert not server.is_served(jane, "jane") and not server.is_served(alice)
    page(server, USERS, ends)


def test_a_change_that_is_not_committed_is_told(adapter, server):
    jane, bob = server.logged_in("jane"), server.logged_in("bob")
    with psycopg.connect(dbname=adapter.database) as other:
        other.execute("UPDATE \"Staff Members\" SET is_active = false WHERE username = 'alice'")
        answer = select(server, jane, "bob", "alice", confirmed="yes")
        other.rollback()
    assert "Nothing was ended" in page(server, USERS, {**jane, **answer.cookies})
    assert server.is_served(bob, "bob")


def test_the_record_is_searched_and_filtered_and_asks_as_much_whatever_is_in_it(adapter, server):
    jane = server.logged_in("jane")
    adapter.set_active(False, "bob")
    adapter.set_active(True, "bob")
    row = r'class="field-at[^"]*"'

    def rows(query):
        return len(re.findall(row, page(server, f"{RECORD}?{query}", jane)))

    assert rows("kind=disabled") < rows("kind=enabled") + rows("kind=disabled") < rows("")
    assert rows("guard=public.Staff+Members") == rows("") and rows("guard=public.others") == 0
    of_bob = rows("q=" + number_of(adapter, "bob"))
    assert 2 <= of_bob == rows("q=bob") < rows("")
    assert rows("q=admin: by jane") >= 1 and rows("q=admin: by nobody") == 0
    assert rows("q=%00") == rows("")
    count = server.statements(RECORD, jane)
    number = number_of(adapter, "alice")
    many = """INSERT INTO session_guard.event (at, guard, user_id, epoch, reason, login_role, acting_role, transaction_id)
        SELECT now() - n * interval '1 s', 'public.Staff Members', CASE WHEN n %% 2 = 0 THEN %s ELSE n::text END, now(),
        'many', 'app', 'app', '1' FROM generate_series(1, 20000) AS n"""
    adapter.sql(many, number)
    try:
        assert server.statements(RECORD, jane) == count
        assert rows("p=3") == 50
        shown = words(page(server, f"{USERS}{number}/change/", jane))
        assert "The whole record of this user" in shown
    finally:
        adapter.sql("DELETE FROM session_guard.event WHERE reason = 'many'")
    # Of a table that no user of the app is in, of all users, and of tokens.
    adapter.sql("SELECT session_guard.revoke_tokens('dashboard', '<i>7</i>')")
    adapter.sql("SELECT session_guard.revoke_tokens('session')")
    shown = page(server, RECORD, jane)
    assert "token dashboard: &lt;i&gt;7" in shown and "all tokens session" in shown


def test_findings_are_shown_with_what_mends_them(adapter, server):
    jane = server.logged_in("jane")
    assert "Nothing is wrong" in page(server, FINDINGS, jane)
    adapter.sql('ALTER TABLE "Staff Members" DISABLE TRIGGER USER')
    try:
        shown = words(page(server, FINDINGS, jane))
        assert "armed: public.Staff Members" in shown
        remedy = re.search(r"SELECT session_guard\.reconcile\([^;]*;?", shown)[0]
    finally:
        adapter.sql('ALTER TABLE "Staff Members" ENABLE TRIGGER USER')
    adapter.sql(remedy)
    adapter.sql("SELECT session_guard.revoke_all_sessions('\"Staff Members\"')")
    assert "Nothing is wrong" in page(server, FINDINGS, server.logged_in("jane"))


def test_what_the_role_of_the_app_lacks_is_told(adapter, server):
    jane, number = server.logged_in("jane"), number_of(adapter, "alice")
    owner = adapter.environment["PGUSER"]
    with without(adapter, "event_key"), without(adapter, "revoke_sessions"), without(adapter, "health"):
        for path in (RECORD, FINDINGS, f"{USERS}{number}/change/", f"{USERS}{number}/end_sessions/"):
            assert f"The database role {owner} may not" in page(server, path, jane)
        assert f"TO {owner};" in select(server, jane, "alice", confirmed="yes").text


def test_the_record_is_not_dumped_and_needs_no_migration(adapter, server):
    done = adapter.run(*MANAGE, "dumpdata", "--all", "pg_session_guard")
    assert done.returncode == 0 and done.stdout.strip().endswith("[]"), done.stdout
    done = adapter.run(*MANAGE, "makemigrations", "--check", "--dry-run")
    assert done.returncode == 0, done.stdout


def test_whom_the_administrator_may_not_view_the_action_does_not_end_either(adapter, server):
    """Nobody of the selected, as Django does where one of them may not be deleted."""
    began = adapter.sql("SELECT session_start(number) FROM \"Staff Members\" WHERE username = 'alice'")
    done = adapter.run(sys.executable, "-c", HIDDEN, DJANGO_SETTINGS_MODULE="settings")
    assert done.stdout.splitlines()[-1:] == ["denied denied 302"], done.stdout
    assert adapter.sql("SELECT session_valid(number, %s) FROM \"Staff Members\" WHERE username = 'alice'", began)


HIDDEN = """
import django

django.setup()
from types import SimpleNamespace
from django.contrib.admin import AdminSite
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin
from django.core.exceptions import PermissionDenied
from django.test import RequestFactory
from pg_session_guard.django.pages import add_session_pages

Person = get_user_model()


class Own(UserAdmin):
    def has_view_permission(self, request, obj=None):
        return obj is None or obj.username != "alice"


site = AdminSite()
site.register(Person, Own)
add_session_pages(site)
pages = site._registry[Person]
pages.message_user = lambda *_: None
statuses = []
for names in (["alice", "bob"], ["alice"], ["bob"]):
    request = RequestFactory().post("/", {"confirmed": "yes"})
    request.user = SimpleNamespace(has_perm=lambda _: True, get_username=lambda: "carol", pk=None)
    act = pages.get_actions(request)["end_all_sessions"][0]
    try:
        statuses.append(act(pages, request, Person.objects.filter(username__in=names)).status_code)
    except PermissionDenied:
        statuses.append("denied")
print(*statuses)
"""


ODD = ["guard=%00", "guard=nobody%27s", "kind=%00", "kind=nonsense", "q=%00", "q=%00admin%3A", "p=%00", "p=99999999999999999999", "p=-1"]
ODD += ["at__gte=%00", "at__gte=nonsense", "at__gte=10000-01-01", "at__gte=0001-01-01", "at__lt=9999-12-31+23%3A59%3A59-23%3A00"]
ODD += ["nonsense=1", "at__nonsense=1", "user_id__exact=%00", "guard__exact=%00", "o=%00", "o=99.-99", "all=", "e=1", "_facets=True&kind=%00"]


@pytest.mark.parametrize("query", ODD)
def test_what_no_page_asks_for_is_no_error_of_the_record(adapter, server, query):
    jane = server.logged_in("jane")
    answer = server.get(f"{RECORD}?{query}", jane, **HTML)
    assert answer.status_code in (200, 302, 400), re.sub("<[^>]+>", "", answer.text)[:500]


@pytest.mark.parametrize("path", ["%00/change/", "nonsense/change/", "99999999999999999999/change/", "%00/"])
def test_an_event_that_there_is_not_is_none(adapter, server, path):
    jane = server.logged_in("jane")
    for page in (RECORD, FINDINGS, USERS):
        assert server.get(page + path, jane, **HTML).status_code in (200, 302, 404), page
    assert server.get(f"{USERS}{path.split('/')[0]}/end_sessions/", jane, **HTML).status_code in (302, 403, 404)
    for odd in ("select_across=%00", "p=%00", "q=%00", "is_active__exact=%00"):
        assert server.get(f"{USERS}?{odd}", jane, **HTML).status_code in (200, 302, 400), odd
