"""The versions that `make test-versions` tests, beside those of `make test`: the oldest of each that the packages say they take,
some between, and what the registries have as the newest. scripts/check-versions compares them with what the packages declare."""

# What PyPI's names have in each session. "newest": what is there today, and this Python takes.
PYTHON = {
    "flask-2.3": {
        "Flask": "2.3.0",
        "Werkzeug": "2.3.0",
        "Flask-Login": "0.6.3",
        "SQLAlchemy": "1.4.42",
        "PyJWT": "2.10.0",
        "Flask-SQLAlchemy": "3.0.5",
        "Flask-JWT-Extended": "4.5.3",
        "psycopg2-binary": "newest",
    },
    "flask-3.0": {"Flask": "3.0.0"},
    "flask-newest": {"Flask": "newest"},
    # None of them is at ease with marshmallow 4.
    "fab-4.5": {"Flask-AppBuilder": "4.5.0", "marshmallow": "3.26.2", "psycopg2-binary": "newest"},
    "fab-5.0": {"Flask-AppBuilder": "5.0.0", "marshmallow": "3.26.2"},
    "fab-newest": {"Flask-AppBuilder": "newest", "marshmallow": "3.26.2"},
    "django-4.2": {"Django": "4.2", "PyJWT": "2.10.0"},
    "django-5.2": {"Django": "5.2"},
    "django-newest": {"Django": "newest"},
    "starlette-0.37": {"starlette": "0.37.2", "fastapi": "0.110.1", "itsdangerous": "2.0.0", "PyJWT": "2.10.0"},
    "starlette-newest": {"starlette": "newest", "fastapi": "newest"},
}

# What npm's names have in each session.
NODE = {
    "express-4.18": {"express": "4.18.0", "pg": "8.11.0"},
    "express-4.22": {"express": "4.22.3"},
    "express-5.0": {"express": "5.0.0", "pg": "8.11.0"},
    "express-newest": {"express": "newest"},
    "fastify-5.0": {"fastify": "5.0.0", "pg": "8.11.0"},
    "fastify-newest": {"fastify": "newest"},
}
