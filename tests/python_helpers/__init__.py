"""What the tests in Python share. tests/pytest.ini puts this package on their path."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PYTHON_PACKAGE = ROOT / "clients" / "python" / "src"
PASSWORD = "a password for the tests"
