"""The HTTP suites of ../python and ../node on each version of versions.py, one session for each. Superset and Airflow, which take
minutes to install, have `make test-superset`."""

import os
import shutil
import sys
from pathlib import Path

import nox

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from versions import NODE, PYTHON  # noqa: E402

APPS, TARGET = HERE.parent, HERE.parents[2] / "target"
# Set by `run`.
WHEEL, TARBALL, NODE_PYTHON = (os.environ.get(name) for name in ("WHEEL", "TARBALL", "NODE_PYTHON"))

nox.options.envdir = str(TARGET / "nox")
nox.options.default_venv_backend = "uv"
nox.options.error_on_missing_interpreters = True

TOOLS = ["pytest", "requests", "psycopg[binary,pool]", "werkzeug", "cryptography"]
# What the test server of each framework takes besides the package's extra.
FRAMEWORKS = {
    "flask": {
        "extra": "flask",
        "packages": ["Flask-SQLAlchemy", "Flask-JWT-Extended", "Flask-Session", "cachelib"],
        "files": ["test_core", "test_sessions", "test_flask", "test_flask_setup", "test_tokens", "test_receivers"],
        "only": "flask or test_core",
    },
    "fab": {"extra": "fab", "packages": [], "files": ["test_sessions"], "only": "fab"},
    "django": {
        "extra": "django",
        "packages": ["djangorestframework", "djangorestframework-simplejwt"],
        "files": ["test_sessions", "test_django", "test_tokens"],
        "only": "django",
    },
    "starlette": {
        "extra": "starlette",
        "packages": ["fastapi", "uvicorn", "python-multipart", "asyncpg", "SQLAlchemy[asyncio]>=2"],
        "files": ["test_sessions", "test_starlette", "test_starlette_setup"],
        "only": "fastapi or starlette",
    },
}
# Each mounts the receivers in its own way.
RECEIVERS = "test_receivers_mounted"


def pinned(name, version):
    return name if version == "newest" else f"{name}=={version}"


def python_session(name, versions):
    def test(session):
        framework = FRAMEWORKS[name.rpartition("-")[0]]
        wanted = [pinned(*each) for each in versions.items()]
        package = f"pg-session-guard[{framework['extra']},receivers] @ file://{WHEEL}"
        # Most tests have Python write no bytecode. Without it, each server would compile all that it imports.
        session.install("--compile-bytecode", package, *wanted, *framework["packages"], *TOOLS)
        show(session, [*versions, *framework["packages"]])
        environment = {"DATABASE_DRIVER": "psycopg2"} if "psycopg2-binary" in versions else {}
        files = [f"{each}.py" for each in (*framework["files"], RECEIVERS)]
        session.chdir(APPS / "python")
        session.run("python", "-m", "pytest", "-q", "-k", framework["only"], *files, *session.posargs, env=environment)

    nox.session(test, name=name)


def show(session, packages):
    """What was resolved, for the log."""
    names = [package.partition("[")[0].partition(">")[0] for package in packages]
    code = f"from importlib.metadata import version; print(*(f'{{name}} {{version(name)}}' for name in {names}), sep=', ')"
    session.run("python", "-c", code)


PLUGINS = {
    "express": ["express-session", "cookie-session"],
    "fastify": ["@fastify/cookie", "@fastify/formbody", "@fastify/secure-session", "@fastify/session"],
}


def node_session(name, versions):
    def test(session):
        framework = name.rpartition("-")[0]
        folder = TARGET / "nox" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for server in (APPS / "node" / "servers").iterdir():
            shutil.copy(server, folder)
        (folder / "package.json").write_text("{}")
        versions.setdefault("pg", "newest")
        wanted = [f"{each}@{version.replace('newest', 'latest')}" for each, version in versions.items()]
        npm = ("npm", "install", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund")
        session.run(*npm, "--loglevel=error", *wanted, *PLUGINS[framework], "jsonwebtoken", TARBALL, external=True)
        session.run("npm", "ls", "--prefix", str(folder), "--depth=0", external=True)
        session.chdir(APPS / "node")
        command = (NODE_PYTHON, "-m", "pytest", "-q", "-k", framework, "test_sessions.py")
        session.run(*command, *session.posargs, env={"TARGET": str(folder)}, external=True)

    nox.session(test, name=name, venv_backend="none")


for each in PYTHON.items():
    python_session(*each)
for each in NODE.items():
    node_session(*each)
