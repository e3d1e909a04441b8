"""Each check of health() has its row in docs/operations.md, and no row is of a check that is gone."""

import re
import sys
from pathlib import Path

root = Path(__file__).parents[2]
source = (root / "src" / "health.rs").read_text()
page = (root / "docs" / "operations.md").read_text()
section = page.partition("## What health() says")[2].partition("\n## ")[0]
checks = set(re.findall(r'(?:CHECK: &str = |finding\((?:None|Some\(row\)), )"(\w+)"', source))
told = set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE))
if checks != told or not checks:
    sys.exit(f"checks without a row: {checks - told}; rows without a check: {told - checks}")
print(f"health: {len(checks)} checks told of")
