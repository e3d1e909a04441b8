"""The pure core: login times, kinds of routes, answers, settings."""

from datetime import datetime, timedelta, timezone

import pytest
from pg_session_guard.core import login_time
from pg_session_guard.core.answers import Answer, RouteKind, answer_to, kind_of_route
from pg_session_guard.core.errors import cannot_ask, sqlstate_of
from pg_session_guard.core.settings import InvalidSetting, Settings
from pg_session_guard.core.statements import named_parameters, start_statement, valid_statement
from pg_session_guard.jwt import login_claims, login_time_of

UTC = timezone.utc
EXACT = datetime(2026, 7, 1, 12, 0, 0, 123456, UTC)


@pytest.mark.parametrize(
    "moment", [EXACT, EXACT.replace(microsecond=0), EXACT.astimezone(timezone(timedelta(hours=5)))]
)
def test_a_login_time_is_kept_exactly(moment):
    assert login_time.from_text(login_time.to_text(moment)) == moment


def test_no_login_time_is_none_and_what_is_no_time_is_long_ago():
    assert login_time.from_text(None) is None
    for junk in ("", "junk", "2026-07-01 12:00", 5, {}):
        assert login_time.from_text(junk) == login_time.LONG_AGO


def test_a_token_s_own_claim_counts_before_iat():
    kept = login_time.to_text(EXACT)
    assert login_time.of_token({"guard_login_at": kept, "iat": 1}) == EXACT
    assert login_time.of_token({"guard_login_at": "junk", "iat": 1}) == login_time.LONG_AGO
    assert login_time.of_token({"iat": 1}) == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert login_time.of_token({"iat": 1e300}) == login_time.LONG_AGO
    assert login_time.of_token({"iat": "now"}) is login_time.of_token({}) is None


@pytest.mark.parametrize("claims", [login_claims(login_time.to_text(EXACT)), {"iat": 1}, {}])
def test_a_token_that_is_made_of_another_is_as_old_as_that(claims):
    made = {**login_claims(login_time_of(claims)), "iat": 2e9}
    assert login_time_of(made) == (login_time_of(claims) or login_time.LONG_AGO)


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "more", "kind"),
    [
        (BROWSER, {}, RouteKind.HTML),
        ("Text/HTML", {}, RouteKind.HTML),
        ("*/*", {}, RouteKind.API),
        ("", {}, RouteKind.HTML),
        (None, {}, RouteKind.HTML),
        ("", {"Authorization": "bearer x"}, RouteKind.API),
        ("application/json", {}, RouteKind.API),
        (BROWSER, {"Authorization": "Bearer x"}, RouteKind.API),
        (BROWSER, {"X-Requested-With": "XMLHttpRequest"}, RouteKind.API),
        (BROWSER, {"Content-Type": "application/json; charset=utf-8"}, RouteKind.API),
    ],
)
def test_a_browser_that_opens_a_page_is_told_from_a_program(accept, more, kind):
    headers = more if accept is None else {"Accept": accept, **more}
    assert kind_of_route(headers) is kind


def test_each_answer():
    for kind in RouteKind:
        assert answer_to(True, kind) is Answer.SERVE
        assert answer_to(None, kind) is Answer.UNAVAILABLE
        assert answer_to(None, kind, fail_open=True) is Answer.SERVE
    for fail_open in (False, True):
        assert answer_to(False, RouteKind.HTML, fail_open=fail_open) is Answer.LOG_IN_AGAIN
        assert answer_to(False, RouteKind.API, fail_open=fail_open) is Answer.UNAUTHORIZED


def test_settings_are_read_by_their_names():
    config = {"SESSION_GUARD_FAIL_OPEN": True, "SESSION_GUARD_LOCK_TIMEOUT": 0.25, "OTHER": 1}
    settings = Settings.of_config(config)
    assert (settings.fail_open, settings.lock_timeout_text, settings.users) == (True, "250ms", None)
    # To PostgreSQL, 0 is no timeout.
    assert Settings(lock_timeout=0.0001).lock_timeout_text == "1ms"


@pytest.mark.parametrize(
    "config",
    [
        {"SESSION_GUARD_FAIL_OPN": False},
        {"SESSION_GUARD_FAIL_OPEN": "no"},
        {"SESSION_GUARD_LOCK_TIMEOUT": 0},
        {"SESSION_GUARD_LOCK_TIMEOUT": "2s"},
        {"SESSION_GUARD_LOCK_TIMEOUT": float("nan")},
        {"SESSION_GUARD_USERS": 5},
    ],
)
def test_a_setting_that_would_leave_a_door_open_is_refused(config):
    with pytest.raises(InvalidSetting, match="SESSION_GUARD_"):
        Settings.of_config(config)


def test_statements_name_the_guard_only_where_it_is_given():
    assert valid_statement() == "SELECT session_valid(%(user_id)s::text, %(login_at)s::timestamptz)"
    assert "session_start(%(users)s::regclass, %(user_id)s::text)" in start_statement("staff")
    assert named_parameters(valid_statement()) == r"SELECT session_valid(:user_id\:\:text, :login_at\:\:timestamptz)"


def test_an_error_s_sqlstate_is_found_inside_of_others_and_gives_the_remedy():
    def error(**attributes):
        return type("DriverError", (Exception,), attributes)()

    outer = RuntimeError()
    outer.__cause__ = error(orig=error(pgcode="42501"))
    assert (sqlstate_of(outer), sqlstate_of(error(sqlstate="42883")), sqlstate_of(error())) == ("42501", "42883", None)
    assert "session_guard.grant_access" in cannot_ask(outer)
    assert "CREATE EXTENSION" in cannot_ask(error(sqlstate="42883"))
    assert cannot_ask(error(sqlstate="57014")) == cannot_ask(None) == "cannot ask pg_session_guard"
    outer.__cause__ = outer
    assert sqlstate_of(outer) is None
