"""In Chromium, an administrator ends sessions by clicks: in Django's admin, and on the pages of Flask-AppBuilder."""

import pytest
from adapters import ADAPTERS
from chromium import click, click_element, picture
from python_helpers import PASSWORD
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

FAB, DJANGO = ADAPTERS[1:3]
# What an attacker may have called himself.
SCRIPT = "<img src=x onerror=document.title='owned'>"
PEOPLE = {"jane": "Jane Doe", "carol": "Carol Fisher", "dave": "Dave Hill", "erin": "Erin Moss"}
IN_DJANGO = """
INSERT INTO "Staff Members" (number, password, is_superuser, username, first_name, last_name, email, is_staff, is_active, date_joined)
SELECT gen_random_uuid(), password, %s, %s, %s, %s, '', %s, true, now() FROM "Staff Members" WHERE username = 'alice'
"""
IN_FAB = """
WITH made AS (
    INSERT INTO ab_user (id, first_name, last_name, username, email, password, active)
    SELECT nextval('ab_user_id_seq'), %s, %s, %s, md5(%s), password, true FROM ab_user WHERE username = 'alice'
    RETURNING id
) INSERT INTO ab_user_role (id, user_id, role_id)
SELECT nextval('ab_user_role_id_seq'), made.id, ab_role.id FROM made, ab_role WHERE name = %s
"""


@pytest.fixture(scope="module")
def django(tmp_path_factory):
    DJANGO.create()
    for name, full_name in PEOPLE.items():
        DJANGO.sql(IN_DJANGO, name == "jane", name, *full_name.split(), name == "jane")
    DJANGO.sql("""UPDATE "Staff Members" SET first_name = initcap(username), last_name = 'Gray', email = username || '@example.com'
        WHERE first_name = ''""")
    DJANGO.set_active(False, "dave")
    with DJANGO.serve(tmp_path_factory.mktemp("django") / "log") as server:
        yield server
    DJANGO.drop()


@pytest.fixture(scope="module")
def fab(tmp_path_factory):
    FAB.create()
    with FAB.serve(tmp_path_factory.mktemp("fab") / "log", PAGES="1") as server:
        for name, full_name in PEOPLE.items():
            FAB.sql(IN_FAB, *full_name.split(), name, name, "Admin" if name == "jane" else "Public")
        FAB.sql("UPDATE ab_user SET first_name = initcap(first_name), last_name = 'Gray' WHERE first_name = last_name")
        FAB.set_active(False, "dave")
        yield server
    FAB.drop()


def text(browser):
    return browser.find_element(By.TAG_NAME, "body").text


def fill_in(browser, **fields):
    for name, value in fields.items():
        browser.find_element(By.NAME, name).send_keys(value)


def tick(browser, name):
    """The box in the row of that user."""
    quoted = f'"{name}"'
    browser.find_element(By.XPATH, f"//tr[.//a[text()={quoted}]]//input[@type='checkbox']").click()


def follow(browser, name):
    click_element(browser, browser.find_element(By.LINK_TEXT, name))


def press(browser, name):
    click_element(browser, browser.find_element(By.XPATH, f"//button[normalize-space()='{name}']"))


def is_harmless(browser, name):
    """It is shown as it is, and has not run."""
    return name in text(browser) and "owned" not in browser.title


def test_an_administrator_ends_sessions_in_the_admin_of_django(browser, django):
    alice, bob = django.logged_in(), django.logged_in("bob")
    browser.get(f"{django.address}/admin/people/person/")
    fill_in(browser, username="jane", password=PASSWORD)
    click(browser, "input[type=submit]")
    tick(browser, "alice")
    tick(browser, "carol")
    Select(browser.find_element(By.NAME, "action")).select_by_value("end_all_sessions")
    picture(browser, "django-users", scale=0.7)
    click(browser, "button[name=index]")
    assert "All sessions of 2 users end at their next request" in text(browser)
    assert django.is_served(alice)
    fill_in(browser, note="lost a laptop")
    picture(browser, "django-confirmation", height=400)
    click(browser, "#content input[type=submit]")
    assert "All sessions of 2 users have ended." in text(browser)
    assert not django.is_served(alice) and django.is_served(bob, "bob")

    follow(browser, "alice")
    sessions = browser.find_element(By.XPATH, "//fieldset[.//h2[normalize-space()='Sessions']]")
    assert "active" in sessions.text and "Sessions last ended:" in sessions.text
    assert "admin: by jane: lost a laptop" in sessions.text
    browser.execute_script("arguments[0].scrollIntoView({block: 'end'})", sessions)
    picture(browser, "django-user", height=360)
    follow(browser, "End all sessions")
    follow(browser, "Cancel")
    assert "Change person" in text(browser)

    browser.get(f"{django.address}/admin/")
    follow(browser, "Ended sessions")
    assert "admin: by jane: lost a laptop" in text(browser)
    picture(browser, "django-record", scale=0.7)
    follow(browser, "ended on request")
    assert "disabled" not in browser.find_element(By.ID, "result_list").text

    DJANGO.sql('ALTER TABLE "Staff Members" DISABLE TRIGGER session_guard_update')
    browser.get(f"{django.address}/admin/pg_session_guard/finding/")
    assert "SELECT session_guard.reconcile(" in text(browser)
    picture(browser, "django-findings", scale=0.7)
    DJANGO.sql('ALTER TABLE "Staff Members" ENABLE ALWAYS TRIGGER session_guard_update')

    DJANGO.sql(IN_DJANGO, False, SCRIPT, SCRIPT, "", False)
    browser.get(f"{django.address}/admin/people/person/")
    tick(browser, SCRIPT)
    tick(browser, "jane")
    Select(browser.find_element(By.NAME, "action")).select_by_value("end_all_sessions")
    click(browser, "button[name=index]")
    assert "You are among them" in text(browser) and is_harmless(browser, SCRIPT)
    click(browser, "#content input[type=submit]")
    assert browser.find_elements(By.NAME, "password"), "her own session has ended, too"


def test_an_administrator_ends_sessions_on_the_pages_of_flask_appbuilder(browser, fab):
    alice, bob = fab.logged_in(), fab.logged_in("bob")
    browser.get(f"{fab.address}/login/")
    fill_in(browser, username="jane", password=PASSWORD)
    click(browser, "input[type=submit]")
    browser.find_element(By.PARTIAL_LINK_TEXT, "Security").click()
    follow(browser, "Sessions")
    tick(browser, "alice")
    tick(browser, "carol")
    picture(browser, "fab-users")
    press(browser, "End sessions")
    assert "All sessions of 2 users end at their next request" in text(browser)
    assert fab.is_served(alice)
    fill_in(browser, note="lost a laptop")
    picture(browser, "fab-confirmation", height=350)
    press(browser, "End sessions")
    assert "All sessions of 2 users have ended." in text(browser)
    assert not fab.is_served(alice) and fab.is_served(bob, "bob")

    follow(browser, "alice")
    assert "Sessions last ended:" in text(browser) and "admin: by jane: lost a laptop" in text(browser)
    follow(browser, "End sessions")
    follow(browser, "Cancel")

    follow(browser, "Record")
    assert "admin: by jane: lost a laptop" in text(browser) and "disabled" in text(browser)
    picture(browser, "fab-record")
    Select(browser.find_element(By.NAME, "kind")).select_by_value("admin")
    press(browser, "Filter")
    assert "disabled" not in browser.find_element(By.TAG_NAME, "tbody").text

    FAB.sql("ALTER TABLE ab_user DISABLE TRIGGER session_guard_update")
    follow(browser, "Findings")
    assert "SELECT session_guard.reconcile(" in text(browser)
    picture(browser, "fab-findings")
    FAB.sql("ALTER TABLE ab_user ENABLE ALWAYS TRIGGER session_guard_update")

    FAB.sql(IN_FAB, SCRIPT, "", SCRIPT, SCRIPT, "Public")
    follow(browser, "Users")
    assert is_harmless(browser, SCRIPT)
    tick(browser, SCRIPT)
    tick(browser, "jane")
    press(browser, "End sessions")
    assert "You are among them" in text(browser) and is_harmless(browser, SCRIPT)
    press(browser, "End sessions")
    assert browser.find_elements(By.CSS_SELECTOR, "form[name=login]"), "her own session has ended, too"
    fill_in(browser, username="jane", password=PASSWORD)
    click(browser, "input[type=submit]")
    browser.get(f"{fab.address}/session_guard/record/")
    assert is_harmless(browser, SCRIPT)
