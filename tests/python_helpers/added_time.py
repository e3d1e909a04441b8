"""What the guard adds to a request of an app.

A program has the app twice in one process, guarded and not, on the same connections, and asks both by turns: so the places of
its memory, the order of its hashes and the other load of the machine hit both alike. Several such processes tell how far chance
moves the medians.
"""

import json
import os
import statistics
import subprocess
import tempfile

from .databases import connect

PROCESSES = int(os.environ.get("PROCESSES", "3"))
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
# On a CPU, that of the app's process and that of its backends; by the clock. What is left of that without the app's own work
# is the wait for the database, and for a CPU.
MEASURES = ("app, on a CPU", "backend, on a CPU", "by the clock", "clock less app")


def print_added(name, database, command, environment, folder):
    """The program says "ready" once it has warmed up, is given the ids of its backends, and answers with JSON: for both apps
    the statements of a request, and what each request took, in nanoseconds."""
    of_processes = [taken(database, command, environment, folder, seed) for seed in range(1, PROCESSES + 1)]
    statements = of_processes[0]["statements"]
    load = os.getloadavg()[0]
    print(f"{name}: statements {statements['guarded']}, unguarded {statements['unguarded']}; load {load:.1f}")
    for index, measure in enumerate(MEASURES):
        guarded, unguarded = (
            [[measures_of(request)[index] for request in process[kind]] for process in of_processes]
            for kind in ("guarded", "unguarded")
        )
        added = [median_of_differences(*process) for process in zip(guarded, unguarded, strict=True)]
        plain = statistics.median(map(statistics.median, unguarded)) / 1e6
        spread = f"{min(added):6.3f} to {max(added):6.3f}"
        print(f"  {measure:17} adds {statistics.median(added):6.3f} ms ({spread} in a process) to {plain:.3f}", flush=True)


def measures_of(request):
    app, backend, clock = request
    return app, backend, clock, clock - app


def median_of_differences(guarded, unguarded):
    """In ms, of each guarded request and the unguarded one beside it."""
    return statistics.median(late - early for late, early in zip(guarded, unguarded, strict=True)) / 1e6


def taken(database, command, environment, folder, seed):
    environment = {**environment, "PYTHONHASHSEED": str(seed)}
    with tempfile.TemporaryFile("w+") as log:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log, "text": True}
        with subprocess.Popen(command, cwd=folder, env=environment, **pipes) as program:
            # Superset prints lines of its own.
            if "ready\n" in program.stdout:
                with connect("postgres") as admin:
                    print(*(pid for (pid,) in admin.execute(BACKENDS, [database])), file=program.stdin, flush=True)
            answer = next((line for line in program.stdout if line.startswith("{")), None)
        if answer is None:
            log.seek(0)
            raise AssertionError(log.read())
    return json.loads(answer)
