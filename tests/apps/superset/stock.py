"""The settings of a Superset without the guard, the control; both servers have them."""

import os

SQLALCHEMY_DATABASE_URI = os.environ["DATABASE_URL"]
SECRET_KEY = "a secret of the tests, longer than 32 bytes"
FEATURE_FLAGS = {"EMBEDDED_SUPERSET": True}
GUEST_TOKEN_JWT_SECRET = "another secret of the tests, long enough too"
GUEST_ROLE_NAME = "Gamma"
