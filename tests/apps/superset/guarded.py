"""The same with the example, and with the pages for administrators."""

import os

from stock import *
from superset_config import *
from pg_session_guard.superset_pages import FLASK_APP_MUTATOR

SESSION_GUARD_FAIL_OPEN = "FAIL_OPEN" in os.environ
