"""Chromium, the Flask-AppBuilder example's application, and servers of it."""

import os
import sys

from chromium import browser  # noqa: F401
from python_helpers import PYTHON_PACKAGE, ROOT
from python_helpers.flask_appbuilder import application, everybody_is_enabled, server  # noqa: F401

# The apps of the Python package's tests, here with the package's sources.
sys.path.append(str(ROOT / "tests" / "apps" / "python"))
os.environ["PYTHONPATH"] = str(PYTHON_PACKAGE)
