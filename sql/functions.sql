-- The functions. user_id is one of five types in each, so that every call has an exact match, and no
-- other function in the same schema is preferred.

CREATE FUNCTION session_valid(user_id bigint, login_at timestamptz) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_valid_int8';
COMMENT ON FUNCTION session_valid(user_id bigint, login_at timestamptz) IS
    'whether a session of this user that logged in at this time still counts: true or false for all values; of the default guard';

CREATE FUNCTION session_valid(user_id bigint, login_at timestamp) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_valid_int8';
COMMENT ON FUNCTION session_valid(user_id bigint, login_at timestamp) IS
    'whether a session of this user that logged in at this time still counts: true or false for all values; of the default guard; a time without a zone is UTC';

CREATE FUNCTION session_valid(users regclass, user_id bigint, login_at timestamptz) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_valid_int8';
COMMENT ON FUNCTION session_valid(users regclass, user_id bigint, login_at timestamptz) IS
    'whether a session of this user that logged in at this time still counts: true or false for all values; of the guard of that table';

CREATE FUNCTION session_valid(users regclass, user_id bigint, login_at timestamp) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_valid_int8';
COMMENT ON FUNCTION session_valid(users regclass, user_id bigint, login_at timestamp) IS
    'whether a session of this user that logged in at this time still counts: true or false for all values; of the guard of that table; a time without a zone is UTC';

CREATE FUNCTION session_valid(user_id integer, login_at timestamptz) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_valid_int4';
COMMENT ON FUNCTION session_valid(user_id integer, login_at timestamptz) IS
    'whether a session of this user that logged in at this time still counts: true or false for all values; of the default guard';

CREATE FUNCTION session_valid(user_id integer, login_at timestamp) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_valid_int4';
COMMENT ON FUNCTION session_valid(user_id integer, login_at timestamp) IS
    'whether a session of this user that logged in at this time still counts: true or false for all values; of the default guard; a time without a zone is UTC';

CREATE FUNCTION session_valid(users regclass, user_id integer, login_at timestamptz) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_valid_int4';
COMMENT ON FUNCTION session_valid(users regclass, user_id integer, login_at timestamptz) IS
    'whether a session of this user that logged in at this time still counts: true or false for all values; of the guard of that table';

CREATE FUNCTION session_valid(users regclass, user_id integer, login_at timestamp) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_valid_int4';
COMMENT ON FUNCTION session_valid(users regclass, user_id integer, login_at timestamp) IS
    'whether a session of this user that logged in at this time still counts: true or false for all values; of the guard of that table; a time without a zone is UTC';

CREATE FUNCTION session_valid(user_id smallint, login_at timestamptz) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_valid_int2';
COMMENT ON FUNCTION session_valid(user_id smallint, login_at timestamptz) IS
    'whether a session of this user that logged in at this time still counts: true or false for all values; of the default guard';

CREATE FUNCTION session_valid(user_id smallint, login_at timestamp) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_valid_int2';
COMMENT ON FUNCTION session_valid(user_id smallint, login_at timestamp) IS
    'whether a session of this user that logged in at this time still counts: true or false for all values; of the default guard; a time without a zone is UTC';

CREATE FUNCTION session_valid(users regclass, user_id smallint, login_at timestamptz) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_valid_int2';
COMMENT ON FUNCTION session_valid(users regclass, user_id smallint, login_at timestamptz) IS
    'whether a session of this user that logged in at this time still counts: true or false for all values; of the guard of that table';

CREATE FUNCTION session_valid(users regclass, user_id smallint, login_at timestamp) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_valid_int2';
COMMENT ON FUNCTION session_valid(users regclass, user_id smallint, login_at timestamp) IS
    'whether a session of this user that logged in at this time still counts: true or false for all values; of the guard of that table; a time without a zone is UTC';

CREATE FUNCTION session_valid(user_id uuid, login_at timestamptz) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_valid_uuid';
COMMENT ON FUNCTION session_valid(user_id uuid, login_at timestamptz) IS
    'whether a session of this user that logged in at this time still counts: true or false for all values; of the default guard';

CREATE FUNCTION session_valid(user_id uuid, login_at timestamp) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_valid_uuid';
COMMENT ON FUNCTION session_valid(user_id uuid, login_at timestamp) IS
    'whether a session of this user that logged in at this time still counts: true or false for all values; of the default guard; a time without a zone is UTC';

CREATE FUNCTION session_valid(users regclass, user_id uuid, login_at timestamptz) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_valid_uuid';
COMMENT ON FUNCTION session_valid(users regclass, user_id uuid, login_at timestamptz) IS
    'whether a session of this user that logged in at this time still counts: true or false for all values; of the guard of that table';

CREATE FUNCTION session_valid(users regclass, user_id uuid, login_at timestamp) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_valid_uuid';
COMMENT ON FUNCTION session_valid(users regclass, user_id uuid, login_at timestamp) IS
    'whether a session of this user that logged in at this time still counts: true or false for all values; of the guard of that table; a time without a zone is UTC';

CREATE FUNCTION session_valid(user_id text, login_at timestamptz) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_valid_text';
COMMENT ON FUNCTION session_valid(user_id text, login_at timestamptz) IS
    'whether a session of this user that logged in at this time still counts: true or false for all values; of the default guard';

CREATE FUNCTION session_valid(user_id text, login_at timestamp) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_valid_text';
COMMENT ON FUNCTION session_valid(user_id text, login_at timestamp) IS
    'whether a session of this user that logged in at this time still counts: true or false for all values; of the default guard; a time without a zone is UTC';

CREATE FUNCTION session_valid(users regclass, user_id text, login_at timestamptz) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_valid_text';
COMMENT ON FUNCTION session_valid(users regclass, user_id text, login_at timestamptz) IS
    'whether a session of this user that logged in at this time still counts: true or false for all values; of the guard of that table';

CREATE FUNCTION session_valid(users regclass, user_id text, login_at timestamp) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_valid_text';
COMMENT ON FUNCTION session_valid(users regclass, user_id text, login_at timestamp) IS
    'whether a session of this user that logged in at this time still counts: true or false for all values; of the guard of that table; a time without a zone is UTC';

CREATE FUNCTION session_verdict(user_id bigint, login_at timestamptz) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_verdict_int8_wrapper';
COMMENT ON FUNCTION session_verdict(user_id bigint, login_at timestamptz) IS
    'why a session counts, or why not: disarmed, stale_replica, unacknowledged_timeline, unknown_user, disabled, revoked, expired, login_in_future or valid; of the default guard';

CREATE FUNCTION session_verdict(user_id bigint, login_at timestamp) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_verdict_int8_wrapper';
COMMENT ON FUNCTION session_verdict(user_id bigint, login_at timestamp) IS
    'why a session counts, or why not: disarmed, stale_replica, unacknowledged_timeline, unknown_user, disabled, revoked, expired, login_in_future or valid; of the default guard; a time without a zone is UTC';

CREATE FUNCTION session_verdict(users regclass, user_id bigint, login_at timestamptz) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_verdict_int8_wrapper';
COMMENT ON FUNCTION session_verdict(users regclass, user_id bigint, login_at timestamptz) IS
    'why a session counts, or why not: disarmed, stale_replica, unacknowledged_timeline, unknown_user, disabled, revoked, expired, login_in_future or valid; of the guard of that table';

CREATE FUNCTION session_verdict(users regclass, user_id bigint, login_at timestamp) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_verdict_int8_wrapper';
COMMENT ON FUNCTION session_verdict(users regclass, user_id bigint, login_at timestamp) IS
    'why a session counts, or why not: disarmed, stale_replica, unacknowledged_timeline, unknown_user, disabled, revoked, expired, login_in_future or valid; of the guard of that table; a time without a zone is UTC';

CREATE FUNCTION session_verdict(user_id integer, login_at timestamptz) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_verdict_int4_wrapper';
COMMENT ON FUNCTION session_verdict(user_id integer, login_at timestamptz) IS
    'why a session counts, or why not: disarmed, stale_replica, unacknowledged_timeline, unknown_user, disabled, revoked, expired, login_in_future or valid; of the default guard';

CREATE FUNCTION session_verdict(user_id integer, login_at timestamp) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_verdict_int4_wrapper';
COMMENT ON FUNCTION session_verdict(user_id integer, login_at timestamp) IS
    'why a session counts, or why not: disarmed, stale_replica, unacknowledged_timeline, unknown_user, disabled, revoked, expired, login_in_future or valid; of the default guard; a time without a zone is UTC';

CREATE FUNCTION session_verdict(users regclass, user_id integer, login_at timestamptz) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_verdict_int4_wrapper';
COMMENT ON FUNCTION session_verdict(users regclass, user_id integer, login_at timestamptz) IS
    'why a session counts, or why not: disarmed, stale_replica, unacknowledged_timeline, unknown_user, disabled, revoked, expired, login_in_future or valid; of the guard of that table';

CREATE FUNCTION session_verdict(users regclass, user_id integer, login_at timestamp) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_verdict_int4_wrapper';
COMMENT ON FUNCTION session_verdict(users regclass, user_id integer, login_at timestamp) IS
    'why a session counts, or why not: disarmed, stale_replica, unacknowledged_timeline, unknown_user, disabled, revoked, expired, login_in_future or valid; of the guard of that table; a time without a zone is UTC';

CREATE FUNCTION session_verdict(user_id smallint, login_at timestamptz) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_verdict_int2_wrapper';
COMMENT ON FUNCTION session_verdict(user_id smallint, login_at timestamptz) IS
    'why a session counts, or why not: disarmed, stale_replica, unacknowledged_timeline, unknown_user, disabled, revoked, expired, login_in_future or valid; of the default guard';

CREATE FUNCTION session_verdict(user_id smallint, login_at timestamp) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_verdict_int2_wrapper';
COMMENT ON FUNCTION session_verdict(user_id smallint, login_at timestamp) IS
    'why a session counts, or why not: disarmed, stale_replica, unacknowledged_timeline, unknown_user, disabled, revoked, expired, login_in_future or valid; of the default guard; a time without a zone is UTC';

CREATE FUNCTION session_verdict(users regclass, user_id smallint, login_at timestamptz) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_verdict_int2_wrapper';
COMMENT ON FUNCTION session_verdict(users regclass, user_id smallint, login_at timestamptz) IS
    'why a session counts, or why not: disarmed, stale_replica, unacknowledged_timeline, unknown_user, disabled, revoked, expired, login_in_future or valid; of the guard of that table';

CREATE FUNCTION session_verdict(users regclass, user_id smallint, login_at timestamp) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_verdict_int2_wrapper';
COMMENT ON FUNCTION session_verdict(users regclass, user_id smallint, login_at timestamp) IS
    'why a session counts, or why not: disarmed, stale_replica, unacknowledged_timeline, unknown_user, disabled, revoked, expired, login_in_future or valid; of the guard of that table; a time without a zone is UTC';

CREATE FUNCTION session_verdict(user_id uuid, login_at timestamptz) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_verdict_uuid_wrapper';
COMMENT ON FUNCTION session_verdict(user_id uuid, login_at timestamptz) IS
    'why a session counts, or why not: disarmed, stale_replica, unacknowledged_timeline, unknown_user, disabled, revoked, expired, login_in_future or valid; of the default guard';

CREATE FUNCTION session_verdict(user_id uuid, login_at timestamp) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_verdict_uuid_wrapper';
COMMENT ON FUNCTION session_verdict(user_id uuid, login_at timestamp) IS
    'why a session counts, or why not: disarmed, stale_replica, unacknowledged_timeline, unknown_user, disabled, revoked, expired, login_in_future or valid; of the default guard; a time without a zone is UTC';

CREATE FUNCTION session_verdict(users regclass, user_id uuid, login_at timestamptz) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_verdict_uuid_wrapper';
COMMENT ON FUNCTION session_verdict(users regclass, user_id uuid, login_at timestamptz) IS
    'why a session counts, or why not: disarmed, stale_replica, unacknowledged_timeline, unknown_user, disabled, revoked, expired, login_in_future or valid; of the guard of that table';

CREATE FUNCTION session_verdict(users regclass, user_id uuid, login_at timestamp) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_verdict_uuid_wrapper';
COMMENT ON FUNCTION session_verdict(users regclass, user_id uuid, login_at timestamp) IS
    'why a session counts, or why not: disarmed, stale_replica, unacknowledged_timeline, unknown_user, disabled, revoked, expired, login_in_future or valid; of the guard of that table; a time without a zone is UTC';

CREATE FUNCTION session_verdict(user_id text, login_at timestamptz) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_verdict_text_wrapper';
COMMENT ON FUNCTION session_verdict(user_id text, login_at timestamptz) IS
    'why a session counts, or why not: disarmed, stale_replica, unacknowledged_timeline, unknown_user, disabled, revoked, expired, login_in_future or valid; of the default guard';

CREATE FUNCTION session_verdict(user_id text, login_at timestamp) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_verdict_text_wrapper';
COMMENT ON FUNCTION session_verdict(user_id text, login_at timestamp) IS
    'why a session counts, or why not: disarmed, stale_replica, unacknowledged_timeline, unknown_user, disabled, revoked, expired, login_in_future or valid; of the default guard; a time without a zone is UTC';

CREATE FUNCTION session_verdict(users regclass, user_id text, login_at timestamptz) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_verdict_text_wrapper';
COMMENT ON FUNCTION session_verdict(users regclass, user_id text, login_at timestamptz) IS
    'why a session counts, or why not: disarmed, stale_replica, unacknowledged_timeline, unknown_user, disabled, revoked, expired, login_in_future or valid; of the guard of that table';

CREATE FUNCTION session_verdict(users regclass, user_id text, login_at timestamp) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'session_verdict_text_wrapper';
COMMENT ON FUNCTION session_verdict(users regclass, user_id text, login_at timestamp) IS
    'why a session counts, or why not: disarmed, stale_replica, unacknowledged_timeline, unknown_user, disabled, revoked, expired, login_in_future or valid; of the guard of that table; a time without a zone is UTC';

CREATE FUNCTION session_start(user_id bigint) RETURNS timestamptz
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'session_start_int8_wrapper';
COMMENT ON FUNCTION session_start(user_id bigint) IS
    'the login time to store with a new session of this user, NULL if the account may not log in; locks the user''s row until the transaction ends; of the default guard';

CREATE FUNCTION session_start(users regclass, user_id bigint) RETURNS timestamptz
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'session_start_int8_wrapper';
COMMENT ON FUNCTION session_start(users regclass, user_id bigint) IS
    'the login time to store with a new session of this user, NULL if the account may not log in; locks the user''s row until the transaction ends; of the guard of that table';

CREATE FUNCTION session_start(user_id integer) RETURNS timestamptz
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'session_start_int4_wrapper';
COMMENT ON FUNCTION session_start(user_id integer) IS
    'the login time to store with a new session of this user, NULL if the account may not log in; locks the user''s row until the transaction ends; of the default guard';

CREATE FUNCTION session_start(users regclass, user_id integer) RETURNS timestamptz
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'session_start_int4_wrapper';
COMMENT ON FUNCTION session_start(users regclass, user_id integer) IS
    'the login time to store with a new session of this user, NULL if the account may not log in; locks the user''s row until the transaction ends; of the guard of that table';

CREATE FUNCTION session_start(user_id smallint) RETURNS timestamptz
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'session_start_int2_wrapper';
COMMENT ON FUNCTION session_start(user_id smallint) IS
    'the login time to store with a new session of this user, NULL if the account may not log in; locks the user''s row until the transaction ends; of the default guard';

CREATE FUNCTION session_start(users regclass, user_id smallint) RETURNS timestamptz
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'session_start_int2_wrapper';
COMMENT ON FUNCTION session_start(users regclass, user_id smallint) IS
    'the login time to store with a new session of this user, NULL if the account may not log in; locks the user''s row until the transaction ends; of the guard of that table';

CREATE FUNCTION session_start(user_id uuid) RETURNS timestamptz
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'session_start_uuid_wrapper';
COMMENT ON FUNCTION session_start(user_id uuid) IS
    'the login time to store with a new session of this user, NULL if the account may not log in; locks the user''s row until the transaction ends; of the default guard';

CREATE FUNCTION session_start(users regclass, user_id uuid) RETURNS timestamptz
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'session_start_uuid_wrapper';
COMMENT ON FUNCTION session_start(users regclass, user_id uuid) IS
    'the login time to store with a new session of this user, NULL if the account may not log in; locks the user''s row until the transaction ends; of the guard of that table';

CREATE FUNCTION session_start(user_id text) RETURNS timestamptz
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'session_start_text_wrapper';
COMMENT ON FUNCTION session_start(user_id text) IS
    'the login time to store with a new session of this user, NULL if the account may not log in; locks the user''s row until the transaction ends; of the default guard';

CREATE FUNCTION session_start(users regclass, user_id text) RETURNS timestamptz
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'session_start_text_wrapper';
COMMENT ON FUNCTION session_start(users regclass, user_id text) IS
    'the login time to store with a new session of this user, NULL if the account may not log in; locks the user''s row until the transaction ends; of the guard of that table';

CREATE FUNCTION token_valid(scope text, subject text, issued_at timestamptz) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'token_valid_wrapper';
COMMENT ON FUNCTION token_valid(scope text, subject text, issued_at timestamptz) IS
    'whether a token still counts that was issued at this time to a thing and not to a user: true or false for all values';

CREATE FUNCTION token_valid(scope text, subject text, issued_at timestamp) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'token_valid_wrapper';
COMMENT ON FUNCTION token_valid(scope text, subject text, issued_at timestamp) IS
    'whether a token still counts that was issued at this time to a thing and not to a user: true or false for all values; a time without a zone is UTC';

CREATE FUNCTION session_guard.epoch_of(user_id bigint) RETURNS timestamptz
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'epoch_of_int8_wrapper';
COMMENT ON FUNCTION session_guard.epoch_of(user_id bigint) IS
    'the instant that this user''s logins must not predate, NULL if there is none; of the default guard';

CREATE FUNCTION session_guard.epoch_of(users regclass, user_id bigint) RETURNS timestamptz
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'epoch_of_int8_wrapper';
COMMENT ON FUNCTION session_guard.epoch_of(users regclass, user_id bigint) IS
    'the instant that this user''s logins must not predate, NULL if there is none; of the guard of that table';

CREATE FUNCTION session_guard.epoch_of(user_id integer) RETURNS timestamptz
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'epoch_of_int4_wrapper';
COMMENT ON FUNCTION session_guard.epoch_of(user_id integer) IS
    'the instant that this user''s logins must not predate, NULL if there is none; of the default guard';

CREATE FUNCTION session_guard.epoch_of(users regclass, user_id integer) RETURNS timestamptz
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'epoch_of_int4_wrapper';
COMMENT ON FUNCTION session_guard.epoch_of(users regclass, user_id integer) IS
    'the instant that this user''s logins must not predate, NULL if there is none; of the guard of that table';

CREATE FUNCTION session_guard.epoch_of(user_id smallint) RETURNS timestamptz
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'epoch_of_int2_wrapper';
COMMENT ON FUNCTION session_guard.epoch_of(user_id smallint) IS
    'the instant that this user''s logins must not predate, NULL if there is none; of the default guard';

CREATE FUNCTION session_guard.epoch_of(users regclass, user_id smallint) RETURNS timestamptz
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'epoch_of_int2_wrapper';
COMMENT ON FUNCTION session_guard.epoch_of(users regclass, user_id smallint) IS
    'the instant that this user''s logins must not predate, NULL if there is none; of the guard of that table';

CREATE FUNCTION session_guard.epoch_of(user_id uuid) RETURNS timestamptz
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'epoch_of_uuid_wrapper';
COMMENT ON FUNCTION session_guard.epoch_of(user_id uuid) IS
    'the instant that this user''s logins must not predate, NULL if there is none; of the default guard';

CREATE FUNCTION session_guard.epoch_of(users regclass, user_id uuid) RETURNS timestamptz
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'epoch_of_uuid_wrapper';
COMMENT ON FUNCTION session_guard.epoch_of(users regclass, user_id uuid) IS
    'the instant that this user''s logins must not predate, NULL if there is none; of the guard of that table';

CREATE FUNCTION session_guard.epoch_of(user_id text) RETURNS timestamptz
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'epoch_of_text_wrapper';
COMMENT ON FUNCTION session_guard.epoch_of(user_id text) IS
    'the instant that this user''s logins must not predate, NULL if there is none; of the default guard';

CREATE FUNCTION session_guard.epoch_of(users regclass, user_id text) RETURNS timestamptz
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'epoch_of_text_wrapper';
COMMENT ON FUNCTION session_guard.epoch_of(users regclass, user_id text) IS
    'the instant that this user''s logins must not predate, NULL if there is none; of the guard of that table';

CREATE FUNCTION session_guard.revoke_sessions(user_id bigint, reason text DEFAULT NULL, users regclass DEFAULT NULL) RETURNS timestamptz
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'revoke_sessions_int8_wrapper';
COMMENT ON FUNCTION session_guard.revoke_sessions(user_id bigint, reason text, users regclass) IS
    'ends all sessions of this user; returns the epoch that logins must not predate from now on; an unknown user: NULL and a warning; requires UPDATE on the users table; without a table: of the default guard';

CREATE FUNCTION session_guard.revoke_sessions(user_id integer, reason text DEFAULT NULL, users regclass DEFAULT NULL) RETURNS timestamptz
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'revoke_sessions_int4_wrapper';
COMMENT ON FUNCTION session_guard.revoke_sessions(user_id integer, reason text, users regclass) IS
    'ends all sessions of this user; returns the epoch that logins must not predate from now on; an unknown user: NULL and a warning; requires UPDATE on the users table; without a table: of the default guard';

CREATE FUNCTION session_guard.revoke_sessions(user_id smallint, reason text DEFAULT NULL, users regclass DEFAULT NULL) RETURNS timestamptz
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'revoke_sessions_int2_wrapper';
COMMENT ON FUNCTION session_guard.revoke_sessions(user_id smallint, reason text, users regclass) IS
    'ends all sessions of this user; returns the epoch that logins must not predate from now on; an unknown user: NULL and a warning; requires UPDATE on the users table; without a table: of the default guard';

CREATE FUNCTION session_guard.revoke_sessions(user_id uuid, reason text DEFAULT NULL, users regclass DEFAULT NULL) RETURNS timestamptz
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'revoke_sessions_uuid_wrapper';
COMMENT ON FUNCTION session_guard.revoke_sessions(user_id uuid, reason text, users regclass) IS
    'ends all sessions of this user; returns the epoch that logins must not predate from now on; an unknown user: NULL and a warning; requires UPDATE on the users table; without a table: of the default guard';

CREATE FUNCTION session_guard.revoke_sessions(user_id text, reason text DEFAULT NULL, users regclass DEFAULT NULL) RETURNS timestamptz
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'revoke_sessions_text_wrapper';
COMMENT ON FUNCTION session_guard.revoke_sessions(user_id text, reason text, users regclass) IS
    'ends all sessions of this user; returns the epoch that logins must not predate from now on; an unknown user: NULL and a warning; requires UPDATE on the users table; without a table: of the default guard';

CREATE FUNCTION session_guard.event_key(user_id bigint, users regclass) RETURNS text[]
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'event_key_int8_wrapper';
COMMENT ON FUNCTION session_guard.event_key(user_id bigint, users regclass) IS
    'the guard and the key by which a user''s events are recorded';

CREATE FUNCTION session_guard.event_key(user_id integer, users regclass) RETURNS text[]
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'event_key_int4_wrapper';
COMMENT ON FUNCTION session_guard.event_key(user_id integer, users regclass) IS
    'the guard and the key by which a user''s events are recorded';

CREATE FUNCTION session_guard.event_key(user_id smallint, users regclass) RETURNS text[]
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'event_key_int2_wrapper';
COMMENT ON FUNCTION session_guard.event_key(user_id smallint, users regclass) IS
    'the guard and the key by which a user''s events are recorded';

CREATE FUNCTION session_guard.event_key(user_id uuid, users regclass) RETURNS text[]
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'event_key_uuid_wrapper';
COMMENT ON FUNCTION session_guard.event_key(user_id uuid, users regclass) IS
    'the guard and the key by which a user''s events are recorded';

CREATE FUNCTION session_guard.event_key(user_id text, users regclass) RETURNS text[]
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'event_key_text_wrapper';
COMMENT ON FUNCTION session_guard.event_key(user_id text, users regclass) IS
    'the guard and the key by which a user''s events are recorded';

CREATE FUNCTION session_guard.history(user_id bigint, users regclass DEFAULT NULL) RETURNS SETOF session_guard.event
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
        SELECT e.* FROM session_guard.event AS e
        WHERE e.user_id OPERATOR(pg_catalog.=) (session_guard.event_key($1, $2))[2]
          AND e.guard OPERATOR(pg_catalog.=) (session_guard.event_key($1, $2))[1]
        ORDER BY e.at DESC, e.id DESC
    $$;
COMMENT ON FUNCTION session_guard.history(user_id bigint, users regclass) IS
    'a user''s events, the newest first; requires SELECT on session_guard.event; without a table: of the default guard';

CREATE FUNCTION session_guard.history(user_id integer, users regclass DEFAULT NULL) RETURNS SETOF session_guard.event
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
        SELECT e.* FROM session_guard.event AS e
        WHERE e.user_id OPERATOR(pg_catalog.=) (session_guard.event_key($1, $2))[2]
          AND e.guard OPERATOR(pg_catalog.=) (session_guard.event_key($1, $2))[1]
        ORDER BY e.at DESC, e.id DESC
    $$;
COMMENT ON FUNCTION session_guard.history(user_id integer, users regclass) IS
    'a user''s events, the newest first; requires SELECT on session_guard.event; without a table: of the default guard';

CREATE FUNCTION session_guard.history(user_id smallint, users regclass DEFAULT NULL) RETURNS SETOF session_guard.event
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
        SELECT e.* FROM session_guard.event AS e
        WHERE e.user_id OPERATOR(pg_catalog.=) (session_guard.event_key($1, $2))[2]
          AND e.guard OPERATOR(pg_catalog.=) (session_guard.event_key($1, $2))[1]
        ORDER BY e.at DESC, e.id DESC
    $$;
COMMENT ON FUNCTION session_guard.history(user_id smallint, users regclass) IS
    'a user''s events, the newest first; requires SELECT on session_guard.event; without a table: of the default guard';

CREATE FUNCTION session_guard.history(user_id uuid, users regclass DEFAULT NULL) RETURNS SETOF session_guard.event
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
        SELECT e.* FROM session_guard.event AS e
        WHERE e.user_id OPERATOR(pg_catalog.=) (session_guard.event_key($1, $2))[2]
          AND e.guard OPERATOR(pg_catalog.=) (session_guard.event_key($1, $2))[1]
        ORDER BY e.at DESC, e.id DESC
    $$;
COMMENT ON FUNCTION session_guard.history(user_id uuid, users regclass) IS
    'a user''s events, the newest first; requires SELECT on session_guard.event; without a table: of the default guard';

CREATE FUNCTION session_guard.history(user_id text, users regclass DEFAULT NULL) RETURNS SETOF session_guard.event
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
        SELECT e.* FROM session_guard.event AS e
        WHERE e.user_id OPERATOR(pg_catalog.=) (session_guard.event_key($1, $2))[2]
          AND e.guard OPERATOR(pg_catalog.=) (session_guard.event_key($1, $2))[1]
        ORDER BY e.at DESC, e.id DESC
    $$;
COMMENT ON FUNCTION session_guard.history(user_id text, users regclass) IS
    'a user''s events, the newest first; requires SELECT on session_guard.event; without a table: of the default guard';

CREATE FUNCTION session_guard.attach(users regclass, id_column name DEFAULT NULL, active_column name DEFAULT NULL, active_when text DEFAULT NULL, revoke_on name[] DEFAULT NULL, max_session_age interval DEFAULT NULL, is_default boolean DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'attach_wrapper';
COMMENT ON FUNCTION session_guard.attach(users regclass, id_column name, active_column name, active_when text, revoke_on name[], max_session_age interval, is_default boolean) IS
    'guards a users table, or changes how; NULL leaves what is, or on a new guard takes id, active, true, no further columns, sessions without end, and the default if no other table is guarded; returns how many disabled accounts it stamped; requires ownership of the table';

CREATE FUNCTION session_guard.detach(users regclass, forget boolean DEFAULT false) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'detach_wrapper';
COMMENT ON FUNCTION session_guard.detach(users regclass, forget boolean) IS
    'takes the triggers off a users table; epochs, options and watches stay for the next attach, unless they are to be forgotten; requires ownership of the table';

CREATE FUNCTION session_guard.watch(related regclass, user_id_column name, columns name[] DEFAULT NULL, users regclass DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'watch_wrapper';
COMMENT ON FUNCTION session_guard.watch(related regclass, user_id_column name, columns name[], users regclass) IS
    'has changes of a related table end the sessions of the user that the row names; requires ownership of the related table, and UPDATE on the users table; without a users table: of the default guard';

CREATE FUNCTION session_guard.unwatch(related regclass) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'unwatch_wrapper';
COMMENT ON FUNCTION session_guard.unwatch(related regclass) IS
    'has changes of a related table end no sessions any more; requires ownership of the related table';

CREATE FUNCTION session_guard.add_store(store regclass, user_id_column name, revoked_at_column name DEFAULT NULL, users regclass DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'add_store_wrapper';
COMMENT ON FUNCTION session_guard.add_store(store regclass, user_id_column name, revoked_at_column name, users regclass) IS
    'has stamps end sessions in a table in which an app keeps them: deletes the user''s rows, or raises a column (timestamptz, timestamp in UTC, or an integer of Unix seconds) to the time of the stamp; requires ownership of both tables; without a users table: of the default guard';

CREATE FUNCTION session_guard.remove_store(store regclass) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'remove_store_wrapper';
COMMENT ON FUNCTION session_guard.remove_store(store regclass) IS
    'has stamps end no more sessions in this table; requires ownership of it';

CREATE FUNCTION session_guard.reconcile(users regclass DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'reconcile_wrapper';
COMMENT ON FUNCTION session_guard.reconcile(users regclass) IS
    'puts the triggers of a guard, or of all, back and stamps the accounts that were disabled meanwhile; returns how many; requires ownership of the tables';

CREATE FUNCTION session_guard.revoke_all_sessions(users regclass DEFAULT NULL, reason text DEFAULT NULL) RETURNS timestamptz
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'revoke_all_sessions_wrapper';
COMMENT ON FUNCTION session_guard.revoke_all_sessions(users regclass, reason text) IS
    'ends all sessions of a guard; returns the epoch that logins must not predate from now on; requires UPDATE on the users table; without a table: of the default guard';

CREATE FUNCTION session_guard.revoke_tokens(scope text, subject text DEFAULT NULL, reason text DEFAULT NULL) RETURNS timestamptz
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'revoke_tokens_wrapper';
COMMENT ON FUNCTION session_guard.revoke_tokens(scope text, subject text, reason text) IS
    'ends the tokens of one subject, or without a subject all of the scope; returns the epoch that tokens must not predate from now on; no scope: NULL';

CREATE FUNCTION session_guard.configure(future_login_tolerance interval DEFAULT NULL, stamp_margin interval DEFAULT NULL, when_disarmed text DEFAULT NULL, audit boolean DEFAULT NULL, notify boolean DEFAULT NULL, revocation_durability text DEFAULT NULL, max_standby_staleness interval DEFAULT NULL, when_timeline_changed text DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'configure_wrapper';
COMMENT ON FUNCTION session_guard.configure(future_login_tolerance interval, stamp_margin interval, when_disarmed text, audit boolean, notify boolean, revocation_durability text, max_standby_staleness interval, when_timeline_changed text) IS
    'changes policies: see session_guard.policy; NULL leaves one as it is; requires ownership of the extension';

CREATE FUNCTION session_guard.grant_access(role regrole) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'grant_access_wrapper';
COMMENT ON FUNCTION session_guard.grant_access(role regrole) IS
    'lets a role call what apps call, which covers every guard of the database; requires ownership of the extension';

CREATE FUNCTION session_guard.revoke_access(role regrole) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'revoke_access_wrapper';
COMMENT ON FUNCTION session_guard.revoke_access(role regrole) IS
    'takes back what session_guard.grant_access gave, but for USAGE on the schema; requires ownership of the extension';

CREATE FUNCTION session_guard.health()
    RETURNS TABLE (guard text, check_name text, ok boolean, detail text, remedy text)
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'health_wrapper';
COMMENT ON FUNCTION session_guard.health() IS
    'each check of the extension and of each guard; where it is not ok, a remedy is a statement that repairs it';

CREATE FUNCTION session_guard.prune(events_older_than interval DEFAULT NULL, epochs_older_than interval DEFAULT NULL, dry_run boolean DEFAULT false)
    RETURNS TABLE (relation text, removed bigint)
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'prune_wrapper';
COMMENT ON FUNCTION session_guard.prune(events_older_than interval, epochs_older_than interval, dry_run boolean) IS
    'removes old events, and old epochs of users who are there no more and of single tokens, or only counts them; refuses epochs younger than a day, or than a guard''s max_session_age; requires ownership of the extension';

CREATE FUNCTION session_guard.security_event(event_id bigint) RETURNS jsonb
    LANGUAGE c STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'security_event_wrapper';
COMMENT ON FUNCTION session_guard.security_event(event_id bigint) IS
    'an event as the claims of an OpenID CAEP session-revoked security event (RFC 8417); who signs it adds iss and aud; NULL: no such event, or one of an empty id';

CREATE FUNCTION session_guard.acknowledge_timeline() RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'acknowledge_timeline_wrapper';
COMMENT ON FUNCTION session_guard.acknowledge_timeline() IS
    'says that no stamp is missing in the server''s timeline: none was lost in a failover or a restore, or everybody has been put out since; requires ownership of the extension';

CREATE FUNCTION session_guard.stamp() RETURNS trigger
    LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'stamp_wrapper';
COMMENT ON FUNCTION session_guard.stamp() IS
    'called by the triggers of a guarded table: raises the epochs of the accounts that change';

-- Takes the rights of the extension's owner itself, once before COMMIT: to take them for each row would cost
-- more than all the rest.
CREATE FUNCTION session_guard.stamp_related() RETURNS trigger
    LANGUAGE c  AS 'MODULE_PATHNAME', 'stamp_related_wrapper';
COMMENT ON FUNCTION session_guard.stamp_related() IS
    'called by the triggers of a related table: raises the epochs of the users that the rows name';

CREATE FUNCTION session_guard.stamp_pending() RETURNS trigger
    LANGUAGE c  AS 'MODULE_PATHNAME', 'stamp_pending_wrapper';
COMMENT ON FUNCTION session_guard.stamp_pending() IS
    'called before a transaction commits that stamps: raises the epochs that waited for it, and ends sessions that apps keep';

CREATE FUNCTION session_guard.guard_changed() RETURNS trigger
    LANGUAGE c  AS 'MODULE_PATHNAME', 'guard_changed_wrapper';
COMMENT ON FUNCTION session_guard.guard_changed() IS
    'called when guards, policies or timelines change: has every backend read them again';

CREATE FUNCTION session_guard.epoch_changed() RETURNS trigger
    LANGUAGE c  AS 'MODULE_PATHNAME', 'epoch_changed_wrapper';
COMMENT ON FUNCTION session_guard.epoch_changed() IS
    'called when epochs change: has every backend drop those that it keeps';

CREATE FUNCTION session_guard.apply_replicated() RETURNS trigger
    LANGUAGE c  AS 'MODULE_PATHNAME', 'apply_replicated_wrapper';
COMMENT ON FUNCTION session_guard.apply_replicated() IS
    'called when logical replication or a dump brings rows of these tables: raises epochs, keeps events, and guards that are not here yet, and changes nothing else';

-- Before COMMIT, and before PREPARE TRANSACTION.

CREATE CONSTRAINT TRIGGER session_guard_at_commit AFTER INSERT ON session_guard.pending
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION session_guard.stamp_pending();
ALTER TABLE session_guard.pending ENABLE ALWAYS TRIGGER session_guard_at_commit;
COMMENT ON TRIGGER session_guard_at_commit ON session_guard.pending IS 'stamps what waits for COMMIT, and ends sessions that apps keep';

-- Edits by hand count at once.

CREATE TRIGGER session_guard_changed AFTER INSERT OR UPDATE OR DELETE ON session_guard.guard
    FOR EACH ROW EXECUTE FUNCTION session_guard.guard_changed();
CREATE TRIGGER session_guard_emptied AFTER TRUNCATE ON session_guard.guard
    FOR EACH STATEMENT EXECUTE FUNCTION session_guard.guard_changed();
ALTER TABLE session_guard.guard ENABLE ALWAYS TRIGGER session_guard_changed, ENABLE ALWAYS TRIGGER session_guard_emptied;
COMMENT ON TRIGGER session_guard_changed ON session_guard.guard IS 'edits by hand count at once';
COMMENT ON TRIGGER session_guard_emptied ON session_guard.guard IS 'edits by hand count at once';

CREATE TRIGGER session_guard_changed AFTER INSERT OR UPDATE OR DELETE ON session_guard.policy
    FOR EACH ROW EXECUTE FUNCTION session_guard.guard_changed();
CREATE TRIGGER session_guard_emptied AFTER TRUNCATE ON session_guard.policy
    FOR EACH STATEMENT EXECUTE FUNCTION session_guard.guard_changed();
ALTER TABLE session_guard.policy ENABLE ALWAYS TRIGGER session_guard_changed, ENABLE ALWAYS TRIGGER session_guard_emptied;
COMMENT ON TRIGGER session_guard_changed ON session_guard.policy IS 'edits by hand count at once';
COMMENT ON TRIGGER session_guard_emptied ON session_guard.policy IS 'edits by hand count at once';

CREATE TRIGGER session_guard_changed AFTER INSERT OR UPDATE OR DELETE ON session_guard.store
    FOR EACH ROW EXECUTE FUNCTION session_guard.guard_changed();
CREATE TRIGGER session_guard_emptied AFTER TRUNCATE ON session_guard.store
    FOR EACH STATEMENT EXECUTE FUNCTION session_guard.guard_changed();
ALTER TABLE session_guard.store ENABLE ALWAYS TRIGGER session_guard_changed, ENABLE ALWAYS TRIGGER session_guard_emptied;
COMMENT ON TRIGGER session_guard_changed ON session_guard.store IS 'edits by hand count at once';
COMMENT ON TRIGGER session_guard_emptied ON session_guard.store IS 'edits by hand count at once';

CREATE TRIGGER session_guard_changed AFTER INSERT OR UPDATE OR DELETE ON session_guard.epoch
    FOR EACH ROW EXECUTE FUNCTION session_guard.epoch_changed();
CREATE TRIGGER session_guard_emptied AFTER TRUNCATE ON session_guard.epoch
    FOR EACH STATEMENT EXECUTE FUNCTION session_guard.epoch_changed();
ALTER TABLE session_guard.epoch ENABLE ALWAYS TRIGGER session_guard_changed, ENABLE ALWAYS TRIGGER session_guard_emptied;
COMMENT ON TRIGGER session_guard_changed ON session_guard.epoch IS 'edits by hand count at once';
COMMENT ON TRIGGER session_guard_emptied ON session_guard.epoch IS 'edits by hand count at once';

CREATE TRIGGER session_guard_changed AFTER INSERT OR UPDATE OR DELETE ON session_guard.guard_epoch
    FOR EACH ROW EXECUTE FUNCTION session_guard.epoch_changed();
CREATE TRIGGER session_guard_emptied AFTER TRUNCATE ON session_guard.guard_epoch
    FOR EACH STATEMENT EXECUTE FUNCTION session_guard.epoch_changed();
ALTER TABLE session_guard.guard_epoch ENABLE ALWAYS TRIGGER session_guard_changed, ENABLE ALWAYS TRIGGER session_guard_emptied;
COMMENT ON TRIGGER session_guard_changed ON session_guard.guard_epoch IS 'edits by hand count at once';
COMMENT ON TRIGGER session_guard_emptied ON session_guard.guard_epoch IS 'edits by hand count at once';

CREATE TRIGGER session_guard_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON session_guard.timeline
    FOR EACH STATEMENT EXECUTE FUNCTION session_guard.guard_changed();
ALTER TABLE session_guard.timeline ENABLE ALWAYS TRIGGER session_guard_changed;
COMMENT ON TRIGGER session_guard_changed ON session_guard.timeline IS 'edits by hand count at once';

-- What logical replication brings, and a dump.

CREATE TRIGGER session_guard_apply BEFORE INSERT OR UPDATE OR DELETE ON session_guard.guard
    FOR EACH ROW EXECUTE FUNCTION session_guard.apply_replicated();
ALTER TABLE session_guard.guard ENABLE ALWAYS TRIGGER session_guard_apply;
COMMENT ON TRIGGER session_guard_apply ON session_guard.guard IS 'what is replicated or restored raises epochs, and changes nothing else that is there';

CREATE TRIGGER session_guard_apply BEFORE INSERT OR UPDATE OR DELETE ON session_guard.watch
    FOR EACH ROW EXECUTE FUNCTION session_guard.apply_replicated();
ALTER TABLE session_guard.watch ENABLE ALWAYS TRIGGER session_guard_apply;
COMMENT ON TRIGGER session_guard_apply ON session_guard.watch IS 'what is replicated or restored raises epochs, and changes nothing else that is there';

CREATE TRIGGER session_guard_apply BEFORE INSERT OR UPDATE OR DELETE ON session_guard.store
    FOR EACH ROW EXECUTE FUNCTION session_guard.apply_replicated();
ALTER TABLE session_guard.store ENABLE ALWAYS TRIGGER session_guard_apply;
COMMENT ON TRIGGER session_guard_apply ON session_guard.store IS 'what is replicated or restored raises epochs, and changes nothing else that is there';

CREATE TRIGGER session_guard_apply BEFORE INSERT OR UPDATE OR DELETE ON session_guard.store_failure
    FOR EACH ROW EXECUTE FUNCTION session_guard.apply_replicated();
ALTER TABLE session_guard.store_failure ENABLE ALWAYS TRIGGER session_guard_apply;
COMMENT ON TRIGGER session_guard_apply ON session_guard.store_failure IS 'what is replicated or restored raises epochs, and changes nothing else that is there';

CREATE TRIGGER session_guard_apply BEFORE INSERT OR UPDATE OR DELETE ON session_guard.unwatched
    FOR EACH ROW EXECUTE FUNCTION session_guard.apply_replicated();
ALTER TABLE session_guard.unwatched ENABLE ALWAYS TRIGGER session_guard_apply;
COMMENT ON TRIGGER session_guard_apply ON session_guard.unwatched IS 'what is replicated or restored raises epochs, and changes nothing else that is there';

CREATE TRIGGER session_guard_apply BEFORE INSERT OR UPDATE OR DELETE ON session_guard.trigger_state
    FOR EACH ROW EXECUTE FUNCTION session_guard.apply_replicated();
ALTER TABLE session_guard.trigger_state ENABLE ALWAYS TRIGGER session_guard_apply;
COMMENT ON TRIGGER session_guard_apply ON session_guard.trigger_state IS 'what is replicated or restored raises epochs, and changes nothing else that is there';

CREATE TRIGGER session_guard_apply BEFORE INSERT OR UPDATE OR DELETE ON session_guard.policy
    FOR EACH ROW EXECUTE FUNCTION session_guard.apply_replicated();
ALTER TABLE session_guard.policy ENABLE ALWAYS TRIGGER session_guard_apply;
COMMENT ON TRIGGER session_guard_apply ON session_guard.policy IS 'what is replicated or restored raises epochs, and changes nothing else that is there';

CREATE TRIGGER session_guard_apply BEFORE INSERT OR UPDATE OR DELETE ON session_guard.epoch
    FOR EACH ROW EXECUTE FUNCTION session_guard.apply_replicated();
ALTER TABLE session_guard.epoch ENABLE ALWAYS TRIGGER session_guard_apply;
COMMENT ON TRIGGER session_guard_apply ON session_guard.epoch IS 'what is replicated or restored raises epochs, and changes nothing else that is there';

CREATE TRIGGER session_guard_apply BEFORE INSERT OR UPDATE OR DELETE ON session_guard.guard_epoch
    FOR EACH ROW EXECUTE FUNCTION session_guard.apply_replicated();
ALTER TABLE session_guard.guard_epoch ENABLE ALWAYS TRIGGER session_guard_apply;
COMMENT ON TRIGGER session_guard_apply ON session_guard.guard_epoch IS 'what is replicated or restored raises epochs, and changes nothing else that is there';

CREATE TRIGGER session_guard_apply BEFORE INSERT OR UPDATE OR DELETE ON session_guard.token_epoch
    FOR EACH ROW EXECUTE FUNCTION session_guard.apply_replicated();
ALTER TABLE session_guard.token_epoch ENABLE ALWAYS TRIGGER session_guard_apply;
COMMENT ON TRIGGER session_guard_apply ON session_guard.token_epoch IS 'what is replicated or restored raises epochs, and changes nothing else that is there';

CREATE TRIGGER session_guard_apply BEFORE INSERT OR UPDATE OR DELETE ON session_guard.event
    FOR EACH ROW EXECUTE FUNCTION session_guard.apply_replicated();
ALTER TABLE session_guard.event ENABLE ALWAYS TRIGGER session_guard_apply;
COMMENT ON TRIGGER session_guard_apply ON session_guard.event IS 'what is replicated or restored raises epochs, and changes nothing else that is there';

CREATE TRIGGER session_guard_apply BEFORE INSERT OR UPDATE OR DELETE ON session_guard.timeline
    FOR EACH ROW EXECUTE FUNCTION session_guard.apply_replicated();
ALTER TABLE session_guard.timeline ENABLE ALWAYS TRIGGER session_guard_apply;
COMMENT ON TRIGGER session_guard_apply ON session_guard.timeline IS 'what is replicated or restored raises epochs, and changes nothing else that is there';
