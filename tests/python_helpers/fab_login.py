"""Logins at applications that are made with Flask-AppBuilder: Superset, Airflow, the example."""

import re

import requests

from . import PASSWORD


def csrf_token(page):
    return re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)[1]


def log_in_by_form(address, name, timeout, path="/login/"):
    """Gives the answer, and the session's cookie after it."""
    form = requests.get(address + path, timeout=timeout)
    answer = requests.post(
        address + path,
        data={"csrf_token": csrf_token(form), "username": name, "password": PASSWORD},
        cookies=form.cookies,
        allow_redirects=False,
        timeout=timeout,
    )
    return answer, answer.cookies.get("session", form.cookies["session"])


def log_in_by_api(address, name, timeout):
    return requests.post(
        f"{address}/api/v1/security/login",
        json={"username": name, "password": PASSWORD, "provider": "db", "refresh": True},
        timeout=timeout,
    )


def bearer(token):
    return {"Authorization": f"Bearer {token}"}
