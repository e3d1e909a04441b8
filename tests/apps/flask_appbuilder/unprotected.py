"""The example's application without its protection: what the tests would see if it did nothing."""

import session_guard
from app import create_app  # noqa: F401  (flask run looks for it here)

session_guard.protect = lambda app, appbuilder: None
