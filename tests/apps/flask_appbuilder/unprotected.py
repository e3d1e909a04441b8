"""The example's application without its protection: what the tests would see if it did nothing."""

import app
from app import create_app  # noqa: F401  (flask run looks for it here)

app.SessionGuard = lambda app, appbuilder: None
