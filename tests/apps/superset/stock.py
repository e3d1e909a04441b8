"""The settings of a Superset without the guard, the control; both servers have them."""

import os

SQLALCHEMY_DATABASE_URI = os.environ["DATABASE_URL"]
SECRET_KEY = "a secret of the tests, longer than 32 bytes"
FEATURE_FLAGS = {"EMBEDDED_SUPERSET": True}
GUEST_TOKEN_JWT_SECRET = os.environ["GUEST_TOKEN_SECRET"]
GUEST_ROLE_NAME = "Gamma"
