"""Each check of health() has its row in docs/operations.md, and no row is of a check that is gone."""

import re
import sys
from pathlib import Path

root = Path(__file__).parents[3]
source = "".join(path.read_text() for path in sorted((root / "src" / "admin").glob("health*.rs")))
page = (root / "docs" / "operations.md").read_text()
section = page.partition("## What health() says")[2].partition("\n## ")[0]
checks = set(re.findall(r'(?:(?:CHECK|STANDBY): &str = |Finding::\w+\(\s*)"(\w+)"', source))
rows = set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE))
if checks != rows or not checks:
    sys.exit(f"checks without a row: {checks - rows}; rows without a check: {rows - checks}")
print(f"health: {len(checks)} checks have a row")
