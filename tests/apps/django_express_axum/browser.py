"""A browser. The cookies are passed by hand, as a thief would: a browser's own store would drop them when the server says so."""

import re
from urllib.parse import urlsplit

import requests
from python_helpers import PASSWORD

# The longest that a login may wait for a change of the account: the lock timeout, and room for a slow machine.
LONGEST = 120


# As a browser that opens a page.
PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def send(address, path, cookies, **fields):
    """Sends the form at that path; gives the answer and the cookies after it."""
    form = requests.get(address + path, cookies=cookies, headers=PAGE, timeout=LONGEST)
    cookies = {**cookies, **form.cookies}
    csrf = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form.text)
    if csrf:
        fields["csrfmiddlewaretoken"] = csrf[1]
    answer = requests.post(
        address + path, data=fields, cookies=cookies, headers=PAGE, allow_redirects=False, timeout=LONGEST
    )
    return answer, {**cookies, **answer.cookies}


def log_in(address, username="alice", password=PASSWORD):
    return send(address, "/login", {}, username=username, password=password)


def logged_in(address, password=PASSWORD):
    answer, cookies = log_in(address, password=password)
    assert answer.status_code in (302, 303), answer.text
    assert answer.headers["Location"] == "/private"
    return cookies


def page(address, cookies):
    path = f"{address}/private"
    return requests.get(path, cookies=cookies, headers=PAGE, allow_redirects=False, timeout=LONGEST)


def assert_served(address, cookies):
    answer = page(address, cookies)
    assert (answer.status_code, answer.text) == (200, "Logged in as alice\n")


def assert_refused(address, cookies):
    answer = page(address, cookies)
    assert answer.status_code in (302, 303)
    assert urlsplit(answer.headers["Location"]).path == "/login"
    assert "alice" not in answer.text
    return answer


def assert_no_login(address, answer, cookies):
    assert answer.status_code in (200, 401)  # The form once more.
    assert "alice" not in answer.text.replace('value="alice"', "")
    assert_refused(address, cookies)
