"""Each function of the extension has a section in docs/reference.md, with its arguments, and with what each section says."""

import re
import subprocess
import sys
from pathlib import Path

FUNCTIONS = """
SELECT proname, array_to_string(proargnames, ',') FROM pg_catalog.pg_proc
JOIN pg_catalog.pg_depend ON classid = 'pg_proc'::regclass AND objid = pg_proc.oid AND deptype = 'e'
JOIN pg_catalog.pg_extension ON pg_extension.oid = refobjid
WHERE extname = 'pg_session_guard' AND prorettype <> 'trigger'::regtype"""
WANTED = ["**Returns:**", "**Who may call:**", "**Errors:**", "```sql"]

page = (Path(__file__).parents[3] / "docs" / "reference.md").read_text()
sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL))
functions = subprocess.run(["psql", "-XAtq", "-c", FUNCTIONS], check=True, capture_output=True, text=True).stdout.split()
wrong = []
for name, arguments in (function.split("|") for function in functions):
    section = sections.get(name)
    if section is None:
        wrong.append(f"{name}: no section")
        continue
    signature = re.search(r"^    .*?\n\n", section, re.MULTILINE | re.DOTALL)
    wrong += [f"{name}: its signature has no {argument}" for argument in arguments.split(",") if argument and not (signature and argument in signature[0])]
    wrong += [f"{name}: no {part}" for part in WANTED if part not in section]
wrong += [f"{name}: no such function" for name in sections if not any(function.startswith(f"{name}|") for function in functions)]
if wrong or not functions:
    sys.exit("\n".join(sorted(set(wrong))) or "no functions")
print(f"reference: {len(sections)} functions have a section")
