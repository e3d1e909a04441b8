from django.db import migrations

# The role need not be superuser: owning the database is enough. Where it does not, the error's hint
# says what a superuser, or the database's owner, has to run first.
GUARD = """
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_session_guard;
    PERFORM session_guard.attach('auth_user', active_column => 'is_active', revoke_on => '{password}');
EXCEPTION WHEN insufficient_privilege THEN
    RAISE insufficient_privilege USING
        MESSAGE = SQLERRM,
        HINT = format('Before you migrate again, have a superuser or the owner of the database run: '
            'CREATE EXTENSION IF NOT EXISTS pg_session_guard; '
            'GRANT USAGE ON SCHEMA session_guard TO %1$I; '
            'GRANT EXECUTE ON FUNCTION session_guard.attach, session_guard.detach TO %1$I', current_user);
END $$
"""


class Migration(migrations.Migration):
    dependencies = [("auth", "0012_alter_user_first_name_max_length")]
    operations = [migrations.RunSQL(GUARD, "SELECT session_guard.detach('auth_user')")]
