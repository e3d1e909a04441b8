"""Programs that run to their end."""

import subprocess


def run(command, environment, folder=None, timeout=300):
    """Runs it, and gives what came of it; what it wrote, errors too, is its stdout."""
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )


def output_of(command, environment, folder=None, timeout=300):
    """Runs it, and gives what it wrote; it must succeed."""
    done = run(command, environment, folder, timeout)
    assert done.returncode == 0, done.stdout
    return done.stdout
