"""A browser and an API client of Superset."""

import requests
from python_helpers.fab_login import bearer, log_in_by_api, log_in_by_form

# The longest that a login may wait for a change of the account: two lock timeouts (of
# Flask-AppBuilder's own UPDATE, then of session_start), and some room for a slow machine.
TIMEOUT = 20


class Browser:
    """Logs in by the form. The cookie is kept and sent by hand, as a thief would: a browser's own
    store would drop it when the server says so."""

    def __init__(self, address, name="alice"):
        self.address = address
        self.answer, self.cookie = log_in_by_form(address, name, TIMEOUT)

    def ask(self, method, path, **more):
        return requests.request(
            method,
            self.address + path,
            cookies={"session": self.cookie},
            allow_redirects=False,
            timeout=TIMEOUT,
            **more,
        )

    def keep(self, answer):
        """The cookie of an answer, as a browser would."""
        self.cookie = answer.cookies.get("session", self.cookie)
        return answer

    def post(self, path, json):
        """With the token against forgery that Superset wants."""
        token = self.ask("GET", "/api/v1/security/csrf_token/").json()["result"]
        answer = self.ask("POST", path, json=json, headers={"X-CSRFToken": token})
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    def page(self):
        """200, or where else it leads."""
        answer = self.ask("GET", "/dashboard/list/")
        if answer.status_code != 302:
            return answer.status_code
        return answer.headers["Location"].partition("?")[0]

    def statuses(self):
        return {"page": self.page(), "cookie": self.ask("GET", "/api/v1/me/").status_code}


def api_login(address, name="alice"):
    return log_in_by_api(address, name, TIMEOUT)


class ApiClient:
    """Logs in by the API."""

    def __init__(self, address, name="alice"):
        self.address = address
        self.answer = api_login(address, name)
        tokens = self.answer.json()
        self.access, self.refresh = tokens.get("access_token"), tokens.get("refresh_token")

    def me(self, token):
        headers = bearer(token)
        return requests.get(f"{self.address}/api/v1/me/", headers=headers, timeout=TIMEOUT).status_code

    def refreshed(self):
        headers = bearer(self.refresh)
        return requests.post(
            f"{self.address}/api/v1/security/refresh", headers=headers, timeout=TIMEOUT
        )

    def statuses(self):
        return {"access": self.me(self.access), "refresh": self.refreshed().status_code}
