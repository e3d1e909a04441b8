"""Runs the SQL blocks of a page in one psql session, and compares each answer that a statement is said to give.

A comment `--> x` at the end of a statement is the answer x. Blocks may be indented, as in the steps of a list.
"""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

page = Path(sys.argv[1]).read_text()
script, wanted = [r"\set ON_ERROR_STOP on", r"\pset null NULL"], []
blocks = [textwrap.dedent(block[1]) for block in re.findall(r"^( *)```sql\n(.*?)^\1```", page, re.MULTILINE | re.DOTALL)]
for block in blocks:
    for line in block.splitlines():
        statement, _, answer = line.partition("  --> ")
        statement = statement.rstrip()
        if not answer:
            script.append(statement)
            continue
        wanted.append((statement, answer))
        # What a statement of several lines began is psql's to keep until its end.
        script += [rf"\echo <{len(wanted)}>" if statement.startswith("SELECT") else "", statement, rf"\echo </{len(wanted)}>"]
if not wanted:
    sys.exit(f"{sys.argv[1]}: no answer to compare")

psql = subprocess.run(["psql", "-XAtq"], input="\n".join(script), capture_output=True, text=True)
if psql.returncode:
    sys.exit(f"{sys.argv[1]}:\n{psql.stderr}")
wrong = []
for number, (statement, answer) in enumerate(wanted, 1):
    given = re.search(rf"<{number}>\n(.*?)\n?</{number}>", psql.stdout, re.DOTALL)
    if given is None or given[1] != answer:
        wrong.append(f"{statement}\n  said to give {answer}, gave {given and given[1]}")
if wrong:
    sys.exit("\n".join(wrong))
print(f"{Path(sys.argv[1]).name}: {len(blocks)} blocks run, {len(wanted)} answers compared")
