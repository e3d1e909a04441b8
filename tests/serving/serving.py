"""A web server in a process of its own, for the tests of the apps."""

import socket
import subprocess
import time
from contextlib import contextmanager

import requests


@contextmanager
def serve(command, environment, log_path, page, folder=None, patience=30, grace=10):
    """Gives the server's address, once it answers `page` with 200. Its port stands for PORT in the command, and is in
    the environment under that name. `patience` and `grace` are the seconds that it may take to start and to end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    address = f"http://127.0.0.1:{port}"
    command = [str(part).replace("PORT", port) for part in command]
    with open(log_path, "w") as log:
        server = subprocess.Popen(
            command, cwd=folder, env={**environment, "PORT": port}, stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + patience
        while not answers(f"{address}{page}"):
            failed = server.poll() is not None or time.monotonic() > deadline
            assert not failed, f"no server:\n{log_path.read_text()}"
            time.sleep(0.05)
        yield address
    finally:
        server.terminate()
        server.wait(grace)


def answers(url):
    try:
        return requests.get(url, timeout=5).status_code == 200
    except (requests.ConnectionError, requests.Timeout):
        return False
