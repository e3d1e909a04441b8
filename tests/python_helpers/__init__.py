"""What the tests in Python share. tests/pytest.ini puts this package on their path."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PYTHON_PACKAGE = ROOT / "clients" / "python" / "src"
PASSWORD = "a password for the tests"
# As Werkzeug names it. Good hashes take long on purpose, and here are hundreds of logins.
QUICK_HASH = "pbkdf2:sha256:1000"
