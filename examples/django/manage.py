"""A small Django app that is protected by pg_session_guard, on Django's own users and sessions.

    pip install -r requirements.txt 'pg-session-guard[django]'
    export PGHOST=localhost PGUSER=django PGDATABASE=django SECRET_KEY=…
    python manage.py migrate            # also creates the extension and guards auth_user, or says how
    python manage.py createsuperuser
    python manage.py runserver

Log in at /login, set is_active to false in psql, reload the page. A project of your own needs no more than the three
settings that name pg_session_guard.
"""

import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
execute_from_command_line(sys.argv)
