"""A web server in a process of its own, for the tests of the apps."""

import subprocess
from contextlib import contextmanager

import requests

from .ports import free_port
from .waiting import PATIENCE, wait_until


@contextmanager
def serve(command, environment, log_path, page, status=200, folder=None, patience=PATIENCE, grace=60):
    """Gives the server's address, once it answers `page` with `status`. Its port stands for PORT in the command, and is
    in the environment under that name. `patience` and `grace` are the seconds that it may take to start and to end."""
    port = str(free_port())
    address = f"http://127.0.0.1:{port}"
    command = [str(part).replace("PORT", port) for part in command]
    with open(log_path, "w") as log:
        server = subprocess.Popen(
            command, cwd=folder, env={**environment, "PORT": port}, stdout=log, stderr=log
        )

    def answers():
        assert server.poll() is None, f"no server:\n{log_path.read_text()}"
        try:
            return requests.get(f"{address}{page}", timeout=30).status_code == status
        except (requests.ConnectionError, requests.Timeout):
            return False

    try:
        wait_until(lambda: f"a server:\n{log_path.read_text()}", answers, patience, pause=0.05)
        yield address
    finally:
        server.terminate()
        server.wait(grace)
