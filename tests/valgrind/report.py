#!/usr/bin/env python3
"""Counts what valgrind saw, and fails where the library had a part in it.

    tests/valgrind/report.py FOLDER    of logs, one a process
"""

import collections
import pathlib
import re
import sys

OURS = re.compile(r"pg_session_guard(::|\.so)")
RUST = re.compile(r"::|__r(ust|dl|g)_")
ALLOCATOR = re.compile(r"(malloc|calloc|realloc|memalign|aligned_alloc) \(")
ACCESS = re.compile(r"Invalid (read|write|free)|Jump to the invalid|Mismatched free|Illegal memory pool|Process terminating")
LEAK = re.compile(r"definitely lost")
FRAME = re.compile(r"\s+(at|by) 0x[0-9A-F]+: ")


def errors_of(log):
    """The text of each error in the log of one process."""
    text = re.sub(r"^==\d+== ?", "", log.read_text(errors="replace"), flags=re.MULTILINE)
    for error in re.findall(r"^ERROR-BEGIN\n(.*?)^ERROR-END", text, re.MULTILINE | re.DOTALL):
        yield error.split("\n{\n")[0].strip()


def first_stack(error):
    """That of the access; what follows says where the memory comes from."""
    stack = []
    for line in error.splitlines()[1:]:
        if not FRAME.match(line):
            break
        stack.append(FRAME.sub("", line))
    return stack


def counts(error):
    """An error beneath the library, an access that nobody may make, or memory that the library lost.

    What the server lost it may have meant to keep until the process ends, so that for a leak it
    matters who asked for the memory.
    """
    stack = first_stack(error)
    if LEAK.search(error.splitlines()[0]):
        askers = [frame for frame in stack if not ALLOCATOR.match(frame)]
        return bool(askers) and bool(RUST.search(askers[0]))
    return bool(ACCESS.search(error)) or any(OURS.search(frame) for frame in stack)


def kind(error):
    return re.sub(r"[\d,]+ (\([^)]*\) )?bytes in [\d,]+ blocks are|in loss record.*|size \d+", "", error.splitlines()[0]).strip()


def main(folder):
    logs = sorted(pathlib.Path(folder).glob("*.log"))
    by_server, ours, texts = collections.Counter(), collections.Counter(), {}
    for log in logs:
        for error in errors_of(log):
            if counts(error):
                ours[kind(error)] += 1
                texts.setdefault("\n".join([kind(error), *first_stack(error)]), f"{log}: {error}")
            else:
                by_server[kind(error)] += 1
    print(*texts.values(), sep="\n\n")
    print(f"{len(logs)} processes")
    print(f"the server's own: {dict(by_server)}")
    print(f"errors that count: {dict(ours)}")
    if not logs:
        sys.exit("valgrind wrote nothing")
    sys.exit(1 if ours else 0)


main(sys.argv[1])
