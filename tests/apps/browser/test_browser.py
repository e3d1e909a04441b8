"""In Chromium, the next click of a disabled account shows the login page and says why."""

from chromium import click, picture
from python_helpers import PASSWORD
from python_helpers.flask_appbuilder import psql, serve
from selenium.webdriver.common.by import By

DISABLE = "UPDATE ab_user SET active = false WHERE username = 'alice'"
ENABLE = "UPDATE ab_user SET active = true WHERE username = 'alice'"
ENDED = "Your session has ended. Please log in again."
DENIED = "Access is Denied"  # Flask-AppBuilder shows it to everybody who is not logged in.
PAGE = "a[href='/private/page/'].btn"


def log_in(browser):
    """Fills in the login page that the browser shows."""
    browser.find_element(By.NAME, "username").send_keys("alice")
    browser.find_element(By.NAME, "password").send_keys(PASSWORD)
    click(browser, "input[type=submit]")


def second_tab(browser):
    """Opens the page in another tab too, to click there later; the browser stays in the first."""
    first, address = browser.current_window_handle, browser.current_url
    browser.switch_to.new_window("tab")
    browser.get(address)
    second = browser.current_window_handle
    browser.switch_to.window(first)
    return second


def is_working(browser):
    return "Logged in as alice" in browser.find_element(By.TAG_NAME, "body").text


def is_asked_to_log_in(browser):
    return bool(browser.find_elements(By.CSS_SELECTOR, "form[name=login]"))


def messages(browser):
    alerts = browser.find_elements(By.CSS_SELECTOR, ".alert")
    return [alert.text.lstrip("×\n") for alert in alerts]


def test_the_next_click_of_a_disabled_account_shows_the_login_page_and_says_why(browser, server):
    browser.get(f"{server}/private/page/")
    assert (is_asked_to_log_in(browser), messages(browser)) == (True, [DENIED])
    log_in(browser)
    assert is_working(browser)
    click(browser, PAGE)
    assert is_working(browser)
    picture(browser, "working")
    cookie = browser.get_cookie("session")
    left_open = second_tab(browser)

    psql(DISABLE)
    click(browser, PAGE)
    assert (is_asked_to_log_in(browser), is_working(browser)) == (True, False)
    assert messages(browser) == [ENDED, DENIED]
    picture(browser, "disabled")
    log_in(browser)
    assert is_asked_to_log_in(browser)
    assert messages(browser) == ["Invalid login. Please try again."]

    psql(ENABLE)
    browser.add_cookie(cookie)  # The server has taken it back; a thief would have kept it.
    browser.switch_to.window(left_open)
    assert is_working(browser)
    click(browser, PAGE)
    assert (is_asked_to_log_in(browser), is_working(browser)) == (True, False)
    assert messages(browser) == [ENDED, DENIED]

    log_in(browser)
    assert (is_working(browser), messages(browser)) == (True, [])
    click(browser, PAGE)
    assert is_working(browser)
    picture(browser, "logged-in-again")


def test_a_script_in_the_page_gets_a_plain_401_and_the_next_click_says_why(browser, server):
    browser.get(f"{server}/private/page/")
    log_in(browser)
    call = """
        const done = arguments[0];
        fetch("/api/v1/security/users/")
            .then(async answer => done([answer.status, await answer.text()]));
    """
    assert browser.execute_async_script(call)[0] == 200

    psql(DISABLE)
    status, body = browser.execute_async_script(call)
    assert (status, ENDED in body) == (401, False)
    click(browser, PAGE)
    assert messages(browser) == [ENDED, DENIED]


def test_without_the_protection_the_page_that_was_left_open_works_again(
    browser, application, tmp_path
):
    """The control: it is the protection that the tests above see at work."""
    with serve("unprotected", tmp_path / "log") as address:
        browser.get(f"{address}/private/page/")
        log_in(browser)
        cookie = browser.get_cookie("session")
        left_open = second_tab(browser)
        psql(DISABLE)
        click(browser, PAGE)
        assert (is_asked_to_log_in(browser), messages(browser)) == (True, [DENIED])
        psql(ENABLE)
        browser.add_cookie(cookie)
        browser.switch_to.window(left_open)
        click(browser, PAGE)
        assert is_working(browser)
