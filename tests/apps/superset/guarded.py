"""The same with the example."""

import os

from stock import *
from superset_config import *

SESSION_GUARD_FAIL_OPEN = "FAIL_OPEN" in os.environ
