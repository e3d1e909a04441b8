-- The SQL edition of pg_session_guard: the contract of docs/reference.md in PL/pgSQL, for servers where no library can
-- be installed. README.md beside this says whose rights what runs with, and what is different.
--
-- Three kinds of functions, and each says which it is:
--   called by apps      SECURITY DEFINER: they read the users table and the epochs with the rights of the extension's
--                       owner, who has to own the users table, or to trust its owner
--   called by triggers  SECURITY DEFINER: of the app's tables they see OLD and NEW alone, and write tables of the
--                       extension. Values of other types than PostgreSQL's own are never cast
--   administration      the caller's rights, who has to be the extension's owner
-- What is called often is in PL/pgSQL, which keeps its plans. Every function has a fixed search_path. A table is always written with its schema.

-- What went wrong is a text[]: SQLSTATE, message, detail, hint, and the statement that mends it where there is one, which the hint
-- has, too. A check raises it, a trigger warns of it, and health() has the statement as its remedy. No text is ever read for it.
CREATE OR REPLACE FUNCTION session_guard.raise_failure(failure text[]) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF failure IS NULL THEN
        RETURN;
    ELSIF failure[3] IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = failure[1], MESSAGE = failure[2], HINT = failure[4];
    ELSE
        RAISE EXCEPTION USING ERRCODE = failure[1], MESSAGE = failure[2], DETAIL = failure[3], HINT = failure[4];
    END IF;
END $$;

CREATE OR REPLACE FUNCTION session_guard.shown(relid oid) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = relid);
END $$;

-- Who installed this: it owns the tables and the functions.
CREATE OR REPLACE FUNCTION session_guard.owner() RETURNS oid
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT n.nspowner FROM pg_namespace AS n WHERE n.nspname = 'session_guard');
END $$;

-- Whether a role may read a table of that owner. To read it runs code of its owner's choosing (policies, functions in
-- indexes) with the reader's rights. A superuser never does that for a role that is none; anybody else has said by
-- attaching the table that its owner is trusted.
CREATE OR REPLACE FUNCTION session_guard.trusts(reader oid, table_owner oid) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT pg_has_role(table_owner, reader, 'USAGE') OR NOT r.rolsuper FROM pg_roles AS r WHERE r.oid = reader
$$;

-- Whether row-level security may hide rows of a table from a role: it applies to that role, and no policy shows it all.
CREATE OR REPLACE FUNCTION session_guard.hides_rows(relid oid, reader oid) RETURNS boolean
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT (SELECT c.relrowsecurity FROM pg_class AS c WHERE c.oid = relid) THEN
        RETURN false;
    END IF;
    RETURN EXISTS (SELECT FROM pg_class AS c JOIN pg_roles AS r ON r.oid = reader WHERE c.oid = relid AND NOT r.rolsuper AND NOT r.rolbypassrls
            AND (c.relforcerowsecurity OR NOT pg_has_role(reader, c.relowner, 'USAGE')))
       AND NOT coalesce((SELECT bool_and(p.polpermissive) AND bool_or(p.polcmd = '*' AND pg_get_expr(p.polqual, p.polrelid) = 'true') FROM pg_policy AS p WHERE p.polrelid = relid
            AND (p.polroles = '{0}' OR EXISTS (SELECT FROM unnest(p.polroles) AS u (role) WHERE pg_has_role(reader, u.role, 'USAGE')))), false);
END $$;

-- No statement in the hint is one to run as it stands: each gives that role more to see, and an app may log in by it.
CREATE OR REPLACE FUNCTION session_guard.row_security_failure(relid oid, reader oid) RETURNS text[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN CASE WHEN session_guard.hides_rows(relid, reader) THEN ARRAY['55000', format('row-level security may hide rows of table %s from %I', session_guard.shown(relid), pg_get_userbyid(reader)), NULL,
        format('The guard reads the table as %1$I, and has to see all rows: let no app log in as that role, and give it BYPASSRLS, or a policy such as CREATE POLICY session_guard ON %2$s TO %1$I USING (true).',
            pg_get_userbyid(reader), session_guard.shown(relid))] END;
END $$;

CREATE OR REPLACE FUNCTION session_guard.check_writable(function_name text) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF pg_is_in_recovery() THEN
        RAISE EXCEPTION USING ERRCODE = '25006', MESSAGE = format('cannot execute %s on a standby', function_name),
            DETAIL = 'It writes, or locks a row.', HINT = 'Call it on the primary, which a standby finds by: '
                'SELECT sender_host, sender_port FROM pg_catalog.pg_stat_wal_receiver;';
    ELSIF current_setting('transaction_read_only')::boolean THEN
        RAISE EXCEPTION USING ERRCODE = '25006',
            MESSAGE = format('cannot execute %s in a read-only transaction', function_name);
    END IF;
END $$;

-- What reads who is disabled has to see all that is committed.
CREATE OR REPLACE FUNCTION session_guard.check_read_committed(function_name text) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        RAISE EXCEPTION USING ERRCODE = '25000', MESSAGE = format('cannot execute %s in a %s transaction', function_name, current_setting('transaction_isolation')),
            DETAIL = 'The transaction does not see what was disabled since it began.', HINT = 'Call it in a transaction of its own, at READ COMMITTED.';
    END IF;
END $$;

CREATE OR REPLACE FUNCTION session_guard.check_administration() RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT pg_has_role(session_guard.owner(), 'USAGE') THEN
        RAISE EXCEPTION USING ERRCODE = '42501', MESSAGE = 'must be owner of extension pg_session_guard',
            HINT = format('Become a role that may: SET ROLE %I;', pg_get_userbyid(session_guard.owner()));
    END IF;
END $$;

-- What the owner has decided. Of several rows, as after a restore, the one counts that was set last.
CREATE OR REPLACE FUNCTION session_guard.current_policy() RETURNS session_guard.policy
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE policy session_guard.policy;
BEGIN
    SELECT p.* INTO policy FROM session_guard.policy AS p ORDER BY p.set_at DESC LIMIT 1;
    IF NOT FOUND THEN
        -- Somebody has deleted it: the defaults of sql/tables.sql.
        SELECT '-infinity', '', '10 s', '0', 'live', true, false, 'local', '0', 'live', 'answer' INTO policy;
    END IF;
    RETURN policy;
END $$;

-- The server's timeline, NULL where it does not tell. Each failover and each restore begins one.
CREATE OR REPLACE FUNCTION session_guard.timeline_number() RETURNS integer
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;

-- Whether somebody has said that no stamp is missing in it. Of a standby the question is not asked.
CREATE OR REPLACE FUNCTION session_guard.is_acknowledged() RETURNS boolean
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN pg_is_in_recovery() OR EXISTS (SELECT FROM session_guard.timeline AS t
        WHERE t.cluster = (SELECT s.system_identifier FROM pg_control_system() AS s) AND t.timeline = session_guard.timeline_number());
END $$;

CREATE OR REPLACE FUNCTION session_guard.acknowledge_timeline() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM session_guard.check_writable('acknowledge_timeline()');
    PERFORM session_guard.check_administration();
    INSERT INTO session_guard.timeline (cluster, timeline, acknowledged_by)
    SELECT s.system_identifier, session_guard.timeline_number(), session_user FROM pg_control_system() AS s WHERE session_guard.timeline_number() IS NOT NULL ON CONFLICT DO NOTHING;
END $$;

-- Epochs.

-- How far ahead of the clock logins may lie. A transaction that has a snapshot of its own does not see an epoch that was
-- raised since, and a login that was given out at that: it lies two seconds ahead at most.
CREATE OR REPLACE FUNCTION session_guard.margin() RETURNS interval
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (session_guard.current_policy()).stamp_margin
        + CASE WHEN current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN interval '2 s' ELSE interval '0' END;
END $$;

-- The sum, and infinity where that would be past the last timestamp.
CREATE OR REPLACE FUNCTION session_guard.later(at timestamptz, length interval) RETURNS timestamptz
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN CASE WHEN at < '294276-12-01 00:00:00+00' THEN at + length WHEN at IS NOT NULL THEN 'infinity' END;
END $$;

-- The second after the clock plus the margin; where that is not later, a millisecond past the old epoch.
CREATE OR REPLACE FUNCTION session_guard.next_epoch(clock timestamptz, margin interval, old timestamptz) RETURNS timestamptz
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE by_clock CONSTANT timestamptz := date_trunc('second', clock + margin) + interval '1 s';
BEGIN
    RETURN CASE WHEN old IS NULL OR old < by_clock THEN by_clock
                WHEN old < '294276-12-31 00:00:00+00' THEN old + interval '1 ms'
                ELSE 'infinity' END;
END $$;

-- An id as its column would hold it, NULL if no row can have it. Never raises.
CREATE OR REPLACE FUNCTION session_guard.id_in(id text, id_type oid) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE number numeric; inside text;
BEGIN
    IF id_type IN ('text'::regtype, 'varchar'::regtype) THEN
        RETURN id;
    ELSIF octet_length(id) > 1000 THEN
        RETURN NULL;
    ELSIF id_type = 'uuid'::regtype THEN
        inside := CASE WHEN id LIKE '{%}' THEN substr(id, 2, length(id) - 2) ELSE id END;
        RETURN CASE WHEN inside ~ '^([0-9A-Fa-f]{4}-?){7}[0-9A-Fa-f]{4}$' THEN inside::uuid::text END;
    ELSIF id ~ E'^[ \t\n\x0b\f\r]*[+-]?[0-9]+[ \t\n\x0b\f\r]*$' THEN
        number := btrim(id, E' \t\n\x0b\f\r')::numeric;
    ELSIF current_setting('server_version_num')::integer >= 160000 AND id ~ '[0-9]' THEN
        -- From 16 on, integers are also read as 0x2A and 1_000.
        number := CASE WHEN pg_input_is_valid(id, 'bigint') THEN id::bigint END;
    END IF;
    RETURN CASE WHEN id_type = 'bigint'::regtype AND number BETWEEN -9223372036854775808 AND 9223372036854775807
                  OR id_type = 'integer'::regtype AND number BETWEEN -2147483648 AND 2147483647
                  OR id_type = 'smallint'::regtype AND number BETWEEN -32768 AND 32767 THEN number::text END;
END $$;

-- The key of an epoch: a digest of what is too long for an index.
CREATE OR REPLACE FUNCTION session_guard.key_of(id text) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF octet_length(id) <= 1024 THEN
        RETURN id;
    END IF;
    RETURN 'sha256:' || encode(sha256(convert_to(id, getdatabaseencoding())), 'hex');
END $$;

-- Whether a key may be the digest of an id, so that the id cannot be told from it.
CREATE OR REPLACE FUNCTION session_guard.is_digest(key text) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN octet_length(key) = 71 AND starts_with(key, 'sha256:');
END $$;

-- Whether a row version that can be seen was written by this transaction, or a savepoint of it that was not undone:
-- nobody else's can be seen while it is in progress.
CREATE OR REPLACE FUNCTION session_guard.is_own(version xid) RETURNS boolean
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    own CONSTANT bigint := pg_current_xact_id_if_assigned()::text::bigint;
    -- A savepoint's number is later, and may be past the 32 bits that a row has of it.
    ahead CONSTANT bigint := (version::text::bigint - own % 4294967296 + 4294967296) % 4294967296;
BEGIN
    IF own IS NULL OR ahead >= 2147483648 THEN
        RETURN false;
    ELSIF ahead = 0 THEN
        RETURN true;
    END IF;
    RETURN pg_xact_status((own + ahead)::text::xid8) = 'in progress';
EXCEPTION WHEN invalid_parameter_value THEN
    -- A frozen row of long ago, whose number has not been given out again.
    RETURN false;
END $$;

CREATE OR REPLACE FUNCTION session_guard.record_event(guard text, user_id text, scope text, subject text, epoch timestamptz, reason text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE policy session_guard.policy := session_guard.current_policy();
BEGIN
    IF policy.audit THEN
        INSERT INTO session_guard.event (at, guard, user_id, scope, subject, epoch, reason, login_role, acting_role,
            application_name, client_addr, transaction_id)
        VALUES (clock_timestamp(), guard, user_id, scope, subject, epoch, reason, session_user,
            session_guard.acting_role(), current_setting('application_name'), inet_client_addr(), pg_current_xact_id());
    END IF;
    IF NOT policy.notify THEN
        RETURN;
    END IF;
    -- One that does not fit into the queue would fail the COMMIT, and any role that may connect can fill the queue.
    IF pg_notification_queue_usage() <= 0.5 THEN
        PERFORM pg_notify('session_guard', '');
    ELSIF current_setting('session_guard.not_notified', true) IS DISTINCT FROM pg_current_xact_id()::text THEN
        PERFORM set_config('session_guard.not_notified', pg_current_xact_id()::text, true);
        RAISE WARNING USING ERRCODE = '54000', MESSAGE = 'no notification was sent: PostgreSQL''s queue is half full',
            HINT = 'A session that listens has a transaction open for long. End that session.';
    END IF;
END $$;

-- Whom SET ROLE has made of who logged in; not the owner of a function on the way.
CREATE OR REPLACE FUNCTION session_guard.acting_role() RETURNS name
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT coalesce(nullif(current_setting('role'), 'none'), session_user)::name);
END $$;

-- The greater of a user's epochs and the guard's.
CREATE OR REPLACE FUNCTION session_guard.epoch_by_key(of_guard text, key text) RETURNS timestamptz
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN greatest((SELECT max(e.epoch) FROM session_guard.epoch AS e WHERE e.user_id = key AND e.guard = of_guard),
                    (SELECT g.epoch FROM session_guard.guard_epoch AS g WHERE g.guard = of_guard));
END $$;

-- A transaction that has stamped has given out a login since, which its next stamp has to end.
CREATE OR REPLACE FUNCTION session_guard.note_login(of_guard text, key text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
        INSERT INTO session_guard.pending (guard, user_id)
        SELECT of_guard, key WHERE EXISTS (SELECT FROM session_guard.epoch AS e WHERE e.user_id = key AND e.guard = of_guard AND session_guard.is_own(e.xmin))
            OR EXISTS (SELECT FROM session_guard.guard_epoch AS e WHERE e.guard = of_guard AND session_guard.is_own(e.xmin));
    END IF;
END $$;

-- Whether that is so, for the last time; without a key, of any user.
CREATE OR REPLACE FUNCTION session_guard.forget_login(of_guard text, key text) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF key IS NULL THEN
        DELETE FROM session_guard.pending AS p WHERE p.transaction_id = pg_current_xact_id() AND p.guard = of_guard AND p.related IS NULL AND p.unless_past IS NULL AND p.ends IS NULL AND NOT p.again;
    ELSE
        DELETE FROM session_guard.pending AS p WHERE p.transaction_id = pg_current_xact_id() AND p.guard = of_guard AND p.user_id = key
            AND p.related IS NULL AND p.unless_past IS NULL AND p.ends IS NULL AND NOT p.again;
    END IF;
    RETURN FOUND;
END $$;

-- Raises a user's epoch past every login given out before now. The caller holds the user's row, or logins wait.
CREATE OR REPLACE FUNCTION session_guard.stamp_user(of_guard text, key text, why text, related boolean DEFAULT false, floor timestamptz DEFAULT NULL) RETURNS timestamptz
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    margin CONSTANT interval := session_guard.margin();
    stamped timestamptz;
BEGIN
    PERFORM session_guard.note_stored(of_guard, key, why NOT IN ('deleted', 'recreated'));
    -- Once a transaction and reason, unless a login may have come between.
    SELECT max(e.epoch) INTO stamped FROM session_guard.epoch AS e
    WHERE e.user_id = key AND e.guard = of_guard AND session_guard.is_own(e.xmin)
      AND e.epoch >= session_guard.next_epoch(clock_timestamp(), margin, NULL) AND (floor IS NULL OR floor < e.epoch);
    IF stamped IS NOT NULL AND NOT session_guard.forget_login(of_guard, key) THEN
        IF NOT EXISTS (SELECT FROM session_guard.event AS v WHERE v.user_id = key AND v.guard = of_guard
                       AND v.transaction_id = pg_current_xact_id() AND v.reason = why) THEN
            PERFORM session_guard.record_event(of_guard, key, NULL, NULL, stamped, why);
        END IF;
        RETURN stamped;
    END IF;
    -- The clock is read when the row is locked.
    INSERT INTO session_guard.epoch AS e (guard, user_id, epoch, reason, stamped_at, is_related)
    SELECT of_guard, key, session_guard.next_epoch(c.clock, margin,
               greatest(session_guard.epoch_by_key(of_guard, key), floor)), why, c.clock, related
    FROM (SELECT clock_timestamp() AS clock OFFSET 0) AS c
    ON CONFLICT (user_id, guard, is_related) DO UPDATE SET (epoch, reason, stamped_at) = (
        SELECT session_guard.next_epoch(c.clock, margin, greatest(e.epoch,
                   session_guard.epoch_by_key(of_guard, key), floor)), why, c.clock
        FROM (SELECT clock_timestamp() AS clock OFFSET 0) AS c)
    RETURNING e.epoch INTO stamped;
    PERFORM session_guard.record_event(of_guard, key, NULL, NULL, stamped, why);
    RETURN stamped;
END $$;

-- A row forgets when a ban ended: logins from before do not count again.
CREATE OR REPLACE FUNCTION session_guard.keep_end_of_ban(of_guard text, key text, end_of_ban timestamptz) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF coalesce(session_guard.epoch_by_key(of_guard, key) >= end_of_ban, false) THEN
        RETURN;
    END IF;
    INSERT INTO session_guard.epoch AS e (guard, user_id, epoch, reason)
    VALUES (of_guard, key, end_of_ban, 'ban_ended')
    ON CONFLICT (user_id, guard, is_related) DO UPDATE
    SET epoch = EXCLUDED.epoch, reason = EXCLUDED.reason, stamped_at = EXCLUDED.stamped_at WHERE e.epoch < EXCLUDED.epoch;
    PERFORM session_guard.record_event(of_guard, key, NULL, NULL, end_of_ban, 'ban_ended');
END $$;

-- Raises the epoch of everybody. Logins wait from here until the transaction ends: see login().
CREATE OR REPLACE FUNCTION session_guard.stamp_guard(of_guard text, why text, at_commit boolean DEFAULT false) RETURNS timestamptz
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    margin CONSTANT interval := session_guard.margin();
    stamped timestamptz;
BEGIN
    LOCK TABLE session_guard.guard_epoch IN ROW EXCLUSIVE MODE;
    PERFORM session_guard.note_stored(of_guard, NULL, why <> 'truncated');
    IF NOT at_commit THEN
        INSERT INTO session_guard.pending (guard, again) VALUES (of_guard, true);
    END IF;
    SELECT g.epoch INTO stamped FROM session_guard.guard_epoch AS g
    WHERE g.guard = of_guard AND session_guard.is_own(g.xmin)
      AND g.epoch >= session_guard.next_epoch(clock_timestamp(), margin, NULL)
      AND NOT EXISTS (SELECT FROM session_guard.epoch AS e WHERE e.guard = of_guard AND e.epoch >= g.epoch AND e.epoch <> 'infinity');
    IF stamped IS NOT NULL AND NOT session_guard.forget_login(of_guard, NULL) THEN
        IF NOT EXISTS (SELECT FROM session_guard.event AS v WHERE v.user_id IS NULL AND v.guard = of_guard
                       AND v.transaction_id = pg_current_xact_id() AND v.reason = why) THEN
            PERFORM session_guard.record_event(of_guard, NULL, NULL, NULL, stamped, why);
        END IF;
        RETURN stamped;
    END IF;
    -- Past the epochs of users that lie a little ahead; those that lie further ahead are raised themselves.
    INSERT INTO session_guard.guard_epoch AS g (guard, epoch, reason, stamped_at)
    SELECT of_guard, session_guard.next_epoch(c.clock, margin, (
               SELECT max(e.epoch) FROM session_guard.epoch AS e
               WHERE e.guard = of_guard AND e.epoch <= c.clock + margin + interval '10 s')), why, c.clock
    FROM (SELECT clock_timestamp() AS clock OFFSET 0) AS c
    ON CONFLICT (guard) DO UPDATE SET (epoch, reason, stamped_at) = (
        SELECT session_guard.next_epoch(c.clock, margin, greatest(g.epoch, EXCLUDED.epoch - interval '1 ms')), why, c.clock
        FROM (SELECT clock_timestamp() AS clock OFFSET 0) AS c)
    RETURNING g.epoch INTO stamped;
    UPDATE session_guard.epoch AS e SET epoch = session_guard.next_epoch(e.epoch - interval '1 day', '0', e.epoch)
    WHERE e.guard = of_guard AND e.epoch >= stamped AND e.epoch <> 'infinity';
    PERFORM session_guard.record_event(of_guard, NULL, NULL, NULL, stamped, why);
    RETURN stamped;
END $$;

-- The same once more at COMMIT: an app that takes login times from its own clock has given out some meanwhile.
CREATE OR REPLACE FUNCTION session_guard.raise_again(of_guard text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE stamped timestamptz := session_guard.next_epoch(clock_timestamp(), session_guard.margin(), NULL);
BEGIN
    UPDATE session_guard.guard_epoch AS g SET epoch = stamped, stamped_at = clock_timestamp() WHERE g.guard = of_guard AND g.epoch < stamped AND session_guard.is_own(g.xmin);
    IF FOUND THEN
        UPDATE session_guard.event AS e SET epoch = stamped WHERE e.user_id IS NULL AND e.guard = of_guard AND e.transaction_id = pg_current_xact_id() AND e.epoch < stamped;
    END IF;
END $$;

-- Raises the epoch of one subject's tokens, or without a subject that of all of the scope.
CREATE OR REPLACE FUNCTION session_guard.stamp_tokens(of_scope text, of_subject text, why text) RETURNS timestamptz
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    margin CONSTANT interval := session_guard.margin();
    stamped timestamptz;
BEGIN
    SELECT t.epoch INTO stamped FROM session_guard.token_epoch AS t
    WHERE t.scope = of_scope AND t.subject IS NOT DISTINCT FROM of_subject AND session_guard.is_own(t.xmin)
      AND t.epoch >= session_guard.next_epoch(clock_timestamp(), margin, NULL);
    IF stamped IS NOT NULL THEN
        IF NOT EXISTS (SELECT FROM session_guard.event AS v WHERE v.scope = of_scope AND v.subject IS NOT DISTINCT FROM of_subject
                       AND v.at >= now() AND v.transaction_id = pg_current_xact_id() AND v.reason = why) THEN
            PERFORM session_guard.record_event(NULL, NULL, of_scope, of_subject, stamped, why);
        END IF;
        RETURN stamped;
    END IF;
    LOOP
        -- A scope's row has no subject, which no ON CONFLICT names together with those that have one.
        UPDATE session_guard.token_epoch AS t SET (epoch, reason, stamped_at) = (
            SELECT session_guard.next_epoch(c.clock, margin, t.epoch), why, c.clock
            FROM (SELECT clock_timestamp() AS clock OFFSET 0) AS c)
        WHERE t.scope = of_scope AND t.subject IS NOT DISTINCT FROM of_subject
        RETURNING t.epoch INTO stamped;
        EXIT WHEN FOUND;
        INSERT INTO session_guard.token_epoch (scope, subject, epoch, reason, stamped_at)
        SELECT of_scope, of_subject, session_guard.next_epoch(c.clock, margin, NULL), why, c.clock
        FROM (SELECT clock_timestamp() AS clock OFFSET 0) AS c
        ON CONFLICT DO NOTHING
        RETURNING epoch INTO stamped;
        EXIT WHEN FOUND;
    END LOOP;
    IF of_subject IS NULL THEN
        UPDATE session_guard.token_epoch AS t SET epoch = session_guard.next_epoch(t.epoch - interval '1 day', '0', t.epoch)
        WHERE t.scope = of_scope AND t.subject IS NOT NULL AND t.epoch >= stamped AND t.epoch <> 'infinity';
    END IF;
    PERFORM session_guard.record_event(NULL, NULL, of_scope, of_subject, stamped, why);
    RETURN stamped;
END $$;

-- Status columns.

-- The form as it is stored and compared, NULL for what is none.
CREATE OR REPLACE FUNCTION session_guard.form_of(active_when text) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE listed text[];
BEGIN
    IF active_when IN ('true', 'false', 'null', 'past', 'future') THEN
        RETURN active_when;
    ELSIF active_when ~ '^[[:space:]]*[{]' AND octet_length(active_when) <= 4096 THEN
        listed := active_when::text[];
        IF array_ndims(listed) = 1 AND array_position(listed, NULL) IS NULL THEN
            RETURN (SELECT array_agg(u.value ORDER BY u.first) FROM (
                SELECT v.value, min(v.n) AS first FROM unnest(listed) WITH ORDINALITY AS v (value, n) GROUP BY v.value) AS u)::text;
        END IF;
    END IF;
    RETURN NULL;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END $$;

-- The type below a domain.
CREATE OR REPLACE FUNCTION session_guard.base_type(of_type oid) RETURNS oid
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE base oid := of_type; over oid;
BEGIN
    LOOP
        SELECT t.typbasetype INTO over FROM pg_type AS t WHERE t.oid = base AND t.typtype = 'd';
        EXIT WHEN NOT FOUND;
        base := over;
    END LOOP;
    RETURN base;
END $$;

-- Whether the guard goes by a time in the column, and not by whether a condition holds.
CREATE OR REPLACE FUNCTION session_guard.goes_by_time(active_when text) RETURNS boolean
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT active_when IN ('past', 'future'));
END $$;

-- How a column is read, as SQL: a boolean, or for 'past' and 'future' the time. NULL if the form does not fit the type.
-- ref is the column, quoted. What is read is of PostgreSQL's own types; an enum by its output function, as a cast from
-- it may be anybody's.
CREATE OR REPLACE FUNCTION session_guard.status_sql(active_when text, of_type oid, ref text) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE base oid := session_guard.base_type(of_type); listed text[]; kind "char";
BEGIN
    SELECT t.typtype INTO kind FROM pg_type AS t WHERE t.oid = base;
    CASE
    WHEN active_when = 'true' AND base = 'boolean'::regtype THEN
        RETURN format('%s IS TRUE', ref);
    WHEN active_when = 'false' AND base = 'boolean'::regtype THEN
        RETURN format('%s IS NOT TRUE', ref);
    WHEN active_when = 'null' AND kind <> 'c' AND base <> 'record'::regtype THEN
        RETURN format('%s IS NULL', ref);
    WHEN active_when IN ('past', 'future') AND base = 'timestamptz'::regtype THEN
        RETURN format('%s::pg_catalog.timestamptz', ref);
    WHEN active_when IN ('past', 'future') AND base = 'timestamp'::regtype THEN
        RETURN format('pg_catalog.timezone(''UTC'', %s::pg_catalog.timestamp)', ref);
    WHEN active_when IN ('past', 'future') AND base = 'date'::regtype THEN
        RETURN format('CASE WHEN %1$s::pg_catalog.date OPERATOR(pg_catalog.<) ''294277-01-01''::pg_catalog.date THEN '
            'pg_catalog.timezone(''UTC'', %1$s::pg_catalog.date::pg_catalog.timestamp) '
            'WHEN %1$s IS NOT NULL THEN ''infinity''::pg_catalog.timestamptz END', ref);
    WHEN active_when LIKE '{%' AND (kind = 'e' OR base IN ('text'::regtype, 'varchar'::regtype)) THEN
        listed := active_when::text[];
        RETURN format('coalesce(pg_catalog.format(''%%s'', %1$s) COLLATE pg_catalog."C" OPERATOR(pg_catalog.=) ANY (%2$L::pg_catalog.text[]) AND %1$s IS NOT NULL, false)', ref, listed);
    WHEN active_when LIKE '{%' AND base = 'bpchar'::regtype THEN
        -- Blanks at the end do not count.
        listed := ARRAY(SELECT rtrim(v.value, ' ') FROM unnest(active_when::text[]) AS v (value));
        RETURN format('coalesce(pg_catalog.rtrim(pg_catalog.format(''%%s'', %1$s), '' '') COLLATE pg_catalog."C" OPERATOR(pg_catalog.=) ANY (%2$L::pg_catalog.text[]) AND %1$s IS NOT NULL, false)', ref, listed);
    WHEN active_when LIKE '{%' AND base IN ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype) THEN
        listed := ARRAY(SELECT session_guard.id_in(v.value, base) FROM unnest(active_when::text[]) AS v (value)
                        WHERE session_guard.id_in(v.value, base) IS NOT NULL);
        RETURN format('coalesce(%s::pg_catalog.int8 OPERATOR(pg_catalog.=) ANY (%L::pg_catalog.int8[]), false)', ref, listed);
    ELSE
        RETURN NULL;
    END CASE;
END $$;

-- What is listed, and the column's type does not have: no account is active by it.
CREATE OR REPLACE FUNCTION session_guard.unknown_values(active_when text, of_type oid) RETURNS text[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE base oid := session_guard.base_type(of_type);
BEGIN
    IF active_when NOT LIKE '{%' OR base IN ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype) THEN
        RETURN '{}';
    END IF;
    RETURN ARRAY(SELECT quote_literal(v.value) FROM unnest(active_when::text[]) WITH ORDINALITY AS v (value, n)
        WHERE NOT EXISTS (SELECT FROM pg_enum AS e WHERE e.enumtypid = base AND e.enumlabel = v.value)
          AND session_guard.id_in(v.value, base) IS NULL ORDER BY v.n);
END $$;

-- Whether an account is active whose column holds that time.
CREATE OR REPLACE FUNCTION session_guard.is_active_at(active_when text, at timestamptz, clock timestamptz) RETURNS boolean
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN CASE WHEN at IS NULL THEN true WHEN active_when = 'past' THEN at <= clock ELSE at > clock END;
END $$;

-- Guards.

-- The clause of the update trigger, written as PostgreSQL shows it: it is also compared.
CREATE OR REPLACE FUNCTION session_guard.when_clause(relid oid, key_column name, key_type oid, active_column name, active_when text, others name[]) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off AS $$
DECLARE arms text[]; cast_to CONSTANT text := CASE WHEN key_type = 'varchar'::regtype THEN 'text' END;
BEGIN
    arms := ARRAY[CASE WHEN cast_to IS NULL THEN format('(old.%1$I IS DISTINCT FROM new.%1$I)', key_column)
                       ELSE format('((old.%1$I)::text IS DISTINCT FROM (new.%1$I)::text)', key_column) END];
    IF active_when IN ('true', 'false') THEN
        arms := arms || format('((old.%1$I IS TRUE) IS DISTINCT FROM (new.%1$I IS TRUE))', active_column);
    ELSIF active_when = 'null' THEN
        arms := arms || format('((old.%1$I IS NULL) IS DISTINCT FROM (new.%1$I IS NULL))', active_column);
    ELSIF active_when IS NOT NULL THEN
        arms := arms || format('record_image_ne(ROW(old.%1$I), ROW(new.%1$I))', active_column);
    END IF;
    arms := arms || ARRAY(SELECT format('record_image_ne(ROW(old.%1$I), ROW(new.%1$I))', o.name)
                          FROM unnest(others) WITH ORDINALITY AS o (name, n) ORDER BY o.n);
    IF others IS NULL THEN
        arms := arms || 'record_image_ne(old.*, new.*)'::text;
    END IF;
    RETURN CASE array_length(arms, 1) WHEN 1 THEN arms[1] ELSE format('(%s)', array_to_string(arms, ' OR ')) END;
END $$;

-- The first argument of the table's own triggers that call this function: which guard they serve. Those of a partition are its table's.
CREATE OR REPLACE FUNCTION session_guard.served(relid oid, function regprocedure) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT convert_from(substring(t.tgargs FROM 1 FOR position(E'\\x00'::bytea IN t.tgargs) - 1), getdatabaseencoding())
            FROM pg_trigger AS t WHERE t.tgrelid = relid AND t.tgfoid = function AND t.tgnargs > 0 AND t.tgparentid = 0 AND t.tgname <> 'session_guard_partition_truncate' ORDER BY t.tgname LIMIT 1);
END $$;

-- Table, owner, triggers and columns, as they were when attach looked last. While this is the same, so is all else: what a
-- transaction does after it has called attach leaves xmin as it is, and can only enable, disable or rename a trigger.
CREATE OR REPLACE FUNCTION session_guard.state_of(relid oid, function regprocedure, columns name[]) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT concat_ws(' ', c.oid, c.relowner, c.relkind, c.relam) FROM pg_class AS c WHERE c.oid = relid)
        || (SELECT coalesce(string_agg(concat(' ', t.oid, '/', t.xmin, '/', t.tgenabled, '/', t.tgname), '' ORDER BY t.tgname), '')
            FROM pg_trigger AS t WHERE t.tgrelid = relid AND t.tgfoid = function)
        || (SELECT coalesce(string_agg(concat(' ', a.attnum, ':', a.atttypid), '' ORDER BY array_position(columns, a.attname)), '')
            FROM pg_attribute AS a WHERE a.attrelid = relid AND a.attname = ANY (columns) AND a.attnum > 0);
END $$;

-- Each trigger that is not as it must be: the kinds, their names by that prefix, their arguments, the clause.
CREATE OR REPLACE FUNCTION session_guard.trigger_problems(relid oid, function regprocedure, prefix text, arguments text[], clause text, may_be_always boolean) RETURNS text[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off SET standard_conforming_strings = on AS $$
DECLARE kind text; t record; problems text[] := '{}'; problem text; tail text; late oid[];
BEGIN
    FOREACH kind IN ARRAY ARRAY['update', 'insert', 'delete', 'truncate'] LOOP
        SELECT g.oid, g.tgname, g.tgenabled, pg_get_triggerdef(g.oid) AS definition, convert_from(substring(g.tgargs FROM 1 FOR position(E'\\x00'::bytea IN g.tgargs) - 1),
            getdatabaseencoding()) AS serves INTO t FROM pg_trigger AS g WHERE g.tgrelid = relid AND g.tgfoid = function AND g.tgname = prefix || kind;
        tail := format('EXECUTE FUNCTION session_guard.%s(%s)', (SELECT p.proname FROM pg_proc AS p WHERE p.oid = function),
            (SELECT string_agg(format('''%s''', replace(a.value, '''', '''''')), ', ' ORDER BY a.n) FROM unnest(arguments) WITH ORDINALITY AS a (value, n)));
        problem := CASE
            WHEN t.oid IS NULL THEN 'is missing'
            WHEN t.tgenabled = 'D' THEN 'is disabled'
            WHEN t.tgenabled <> 'A' AND may_be_always THEN 'is not ENABLE ALWAYS'
            WHEN t.serves IS DISTINCT FROM arguments[1] THEN 'serves another guard'
            WHEN right(t.definition, length(tail)) <> tail THEN 'was made for other options of its guard'
            WHEN t.definition <> format('CREATE TRIGGER %I AFTER %s ON %s FOR EACH %s %s%s', prefix || kind, upper(kind),
                     session_guard.shown(relid), CASE kind WHEN 'truncate' THEN 'STATEMENT' ELSE 'ROW' END,
                     CASE kind WHEN 'update' THEN format('WHEN (%s) ', clause) ELSE '' END, tail)
                 -- An operator or function that only looks like PostgreSQL's own is the one thing that it depends on.
                 OR EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_trigger'::regclass AND d.objid = t.oid
                            AND d.refclassid IN ('pg_operator'::regclass, 'pg_proc'::regclass) AND d.refobjid <> function)
                 THEN 'fires on other changes than it should' END;
        IF problem IS NOT NULL THEN
            problems := problems || format('trigger %s %s', prefix || kind, problem);
        END IF;
    END LOOP;
    IF NOT EXISTS (SELECT FROM session_guard.partitions(relid)) THEN
        RETURN problems;
    END IF;
    late := session_guard.late_partitions(arguments[1], relid);
    RETURN problems || ARRAY(SELECT format('partition %s was attached after the guard', session_guard.shown(l.relid)) FROM unnest(late) AS l (relid) ORDER BY l.relid)
        || ARRAY(SELECT format('trigger %s %s on partition %s', prefix || k.kind,
            CASE WHEN g.oid IS NULL THEN 'is missing' WHEN g.tgenabled = 'D' THEN 'is disabled' ELSE 'is not ENABLE ALWAYS' END, session_guard.shown(m.relid))
        FROM session_guard.partitions(relid) AS m (relid) CROSS JOIN unnest(ARRAY['update', 'insert', 'delete', 'partition_truncate']) WITH ORDINALITY AS k (kind, n)
        LEFT JOIN pg_trigger AS g ON g.tgrelid = m.relid AND g.tgfoid = function AND g.tgname = prefix || k.kind AND (g.tgparentid = 0) = (k.kind = 'partition_truncate')
            AND (g.tgparentid <> 0 OR g.tgtype = 32 AND starts_with(encode(g.tgargs, 'hex'), encode(convert_to(arguments[1], getdatabaseencoding()), 'hex') || '00'))
        WHERE (g.oid IS NULL OR g.tgenabled = 'D' OR g.tgenabled <> 'A' AND may_be_always) AND m.relid <> ALL (late)
          AND NOT (k.kind = 'partition_truncate' AND (SELECT c.relkind FROM pg_class AS c WHERE c.oid = m.relid) = 'p') ORDER BY m.relid, k.n);
END $$;

-- All partitions below a partitioned table, those in between, too. Without the locks that pg_partition_tree takes.
CREATE OR REPLACE FUNCTION session_guard.partitions(relid oid) RETURNS SETOF oid
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH RECURSIVE below AS (SELECT i.inhrelid FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhparent WHERE i.inhparent = relid AND c.relkind = 'p'
        UNION ALL SELECT i.inhrelid FROM pg_inherits AS i JOIN below AS b ON i.inhparent = b.inhrelid)
    SELECT b.inhrelid FROM below AS b
$$;

-- A table in a FROM or LOCK: tables that inherit from it are no part of the guard, and partitions are.
CREATE OR REPLACE FUNCTION session_guard.rows_of(relid oid) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN c.relkind <> 'p' THEN 'ONLY ' ELSE '' END || session_guard.shown(c.oid) FROM pg_class AS c WHERE c.oid = relid
$$;

-- The triggers of partitions, as they are. A partition that comes brings some; one that goes takes them with it.
CREATE OR REPLACE FUNCTION session_guard.partition_triggers(relid oid) RETURNS text[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN ARRAY(SELECT concat_ws('/', t.tgrelid, t.oid, t.xmin, t.tgenabled) FROM session_guard.partitions(relid) AS m (relid)
        JOIN pg_trigger AS t ON t.tgrelid = m.relid AND t.tgfoid = 'session_guard.stamp()'::regprocedure);
END $$;

-- Those of which attach has seen no trigger: who is in them may have been disabled elsewhere.
CREATE OR REPLACE FUNCTION session_guard.late_partitions(of_guard text, relid oid) RETURNS oid[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE recorded CONSTANT text[] := (string_to_array(session_guard.recorded_state(of_guard, 'partitions', relid), ' '))[2:];
BEGIN
    IF recorded IS NULL THEN
        RETURN '{}';
    END IF;
    RETURN ARRAY(SELECT m.relid FROM session_guard.partitions(relid) AS m (relid) JOIN pg_class AS c ON c.oid = m.relid AND c.relkind <> 'p'
        WHERE NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = m.relid AND t.tgfoid = 'session_guard.stamp()'::regprocedure AND t.tgparentid <> 0
            AND EXISTS (SELECT FROM unnest(recorded) AS r (seen) WHERE starts_with(r.seen, concat(t.tgrelid, '/', t.oid, '/')))));
END $$;

-- Whether one of those that attach has seen is not as it was.
CREATE OR REPLACE FUNCTION session_guard.has_lost_partitions(of_guard text, relid oid) RETURNS boolean
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN coalesce(NOT (string_to_array(session_guard.recorded_state(of_guard, 'partitions', relid), ' '))[2:] <@ session_guard.partition_triggers(relid), false);
END $$;

-- The table that a guard is on, without an OID in what is stored: the one of its name if that serves it, else any that
-- does, else the one of its name that the recorded owner owns and that serves none.
CREATE OR REPLACE FUNCTION session_guard.locate(g session_guard.guard) RETURNS oid
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE by_name oid; owner oid; found oid;
BEGIN
    SELECT c.oid, c.relowner INTO by_name, owner FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = g.schema_name AND c.relname = g.table_name AND c.relkind IN ('r', 'p', 'f');
    IF session_guard.served(by_name, 'session_guard.stamp()') = g.name THEN
        RETURN by_name;
    END IF;
    SELECT t.tgrelid INTO found FROM pg_trigger AS t
    WHERE t.tgfoid = 'session_guard.stamp()'::regprocedure AND session_guard.served(t.tgrelid, 'session_guard.stamp()') = g.name
    ORDER BY t.oid LIMIT 1;
    IF found IS NULL AND by_name IS NOT NULL AND session_guard.served(by_name, 'session_guard.stamp()') IS NULL
       AND pg_get_userbyid(owner) = g.table_owner THEN
        found := by_name;
    END IF;
    RETURN found;
END $$;

-- Why the table cannot be guarded, NULL if it can.
CREATE OR REPLACE FUNCTION session_guard.table_failure(relid oid) RETURNS text[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    c pg_class; name CONSTANT text := session_guard.shown(relid); what text;
    ordinary CONSTANT text := 'Guard an ordinary table: a permanent one of the access method heap, or a partitioned one, but no partition. For a view, guard the table that it reads.';
BEGIN
    SELECT * INTO c FROM pg_class AS r WHERE r.oid = relid;
    CASE
    WHEN c.relkind NOT IN ('r', 'p', 'f') OR c.oid < 16384 THEN
        RETURN ARRAY['42809', name || ' is not an ordinary table', NULL, ordinary];
    WHEN c.relkind = 'p' THEN
        RETURN ARRAY['0A000', name || ' is a partitioned table, and cannot be guarded', NULL, 'Keep ids and status in an '
            'ordinary table beside it, by a trigger, and guard that one: see docs/tables.md of pg_session_guard.'];
    WHEN c.relkind = 'f' THEN what := 'a foreign table';
    WHEN (SELECT a.amname FROM pg_am AS a WHERE a.oid = c.relam) <> 'heap' THEN
        RETURN ARRAY['0A000', name || ' is not a heap table, and cannot be guarded', NULL,
            format('To make it a heap table, run: ALTER TABLE %s SET ACCESS METHOD heap;', name), format('ALTER TABLE %s SET ACCESS METHOD heap;', name)];
    WHEN c.relispartition THEN
        RETURN ARRAY['0A000', name || ' is a partition, and cannot be guarded', NULL,
            'Take the table out of its partitioned table: ALTER TABLE ... DETACH PARTITION ...;'];
    WHEN c.relnamespace = 'session_guard'::regnamespace THEN what := 'a table of the extension itself';
    WHEN c.relpersistence = 'u' THEN
        RETURN ARRAY['0A000', format('table %s is unlogged', name),
            'A crash empties it without a trigger, and a re-used id would revive a session.',
            format('To make it permanent, run: ALTER TABLE %s SET LOGGED;', name), format('ALTER TABLE %s SET LOGGED;', name)];
    WHEN c.relpersistence = 't' THEN
        RETURN ARRAY['0A000', format('table %s is temporary', name), NULL, ordinary];
    ELSE RETURN NULL;
    END CASE;
    RETURN ARRAY['0A000', format('%s is %s, and cannot be guarded', name, what), NULL, ordinary];
END $$;

-- The same of a users table, which may be partitioned.
CREATE OR REPLACE FUNCTION session_guard.users_failure(relid oid) RETURNS text[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE c pg_class; m pg_class; name CONSTANT text := session_guard.shown(relid);
BEGIN
    SELECT r.* INTO c FROM pg_class AS r WHERE r.oid = relid;
    IF c.relkind <> 'p' OR c.relispartition OR c.relpersistence <> 'p' THEN
        RETURN CASE WHEN c.relispartition THEN ARRAY['0A000', name || ' is a partition, and cannot be guarded', NULL,
            format('Guard its partitioned table, if its unique key is the id, and with it all partitions: SELECT session_guard.attach(%L);', session_guard.shown(pg_partition_root(relid)))]
            ELSE session_guard.table_failure(relid) END;
    END IF;
    FOR m IN SELECT r.* FROM session_guard.partitions(relid) AS p (relid) JOIN pg_class AS r ON r.oid = p.relid ORDER BY r.oid LOOP
        IF session_guard.served(m.oid, 'session_guard.stamp()') IS NOT NULL THEN
            RETURN ARRAY['55000', format('partition %s is guarded itself', session_guard.shown(m.oid)), NULL,
                format('To take its own guard off first, run: SELECT session_guard.detach(%L);', session_guard.shown(m.oid)), format('SELECT session_guard.detach(%L);', session_guard.shown(m.oid))];
        ELSIF m.relkind <> 'p' AND (m.relkind <> 'r' OR m.relpersistence <> 'p' OR (SELECT a.amname FROM pg_am AS a WHERE a.oid = m.relam) <> 'heap') THEN
            RETURN ARRAY['0A000', format('partition %s of table %s is %s, and cannot be guarded', session_guard.shown(m.oid), name,
                    CASE WHEN m.relkind <> 'r' THEN 'a foreign table' WHEN m.relpersistence <> 'p' THEN 'unlogged' ELSE 'not a heap table' END), NULL,
                'Keep accounts in ordinary partitions: permanent ones of the access method heap.'];
        ELSIF m.relowner <> c.relowner AND NOT pg_has_role(session_guard.owner(), m.relowner, 'USAGE') OR NOT session_guard.trusts(session_guard.owner(), m.relowner) THEN
            RETURN ARRAY['42501', format('partition %s of table %s belongs to another role', session_guard.shown(m.oid), name), 'To read it runs code of its owner''s choosing.',
                format('Give it to the owner of the table: ALTER TABLE %s OWNER TO %I;', session_guard.shown(m.oid), pg_get_userbyid(c.relowner))];
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

-- Why a partitioned table cannot be guarded by that column, NULL if it can: to find the partition of an id must run PostgreSQL's own code
-- alone, and an index of each partition must tell the ids of all apart.
CREATE OR REPLACE FUNCTION session_guard.partition_key_failure(relid oid, id_column name) RETURNS text[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN CASE WHEN EXISTS (SELECT FROM (SELECT relid UNION ALL SELECT session_guard.partitions(relid)) AS m (member) JOIN pg_partitioned_table AS t ON t.partrelid = m.member
            WHERE t.partnatts <> 1 OR t.partexprs IS NOT NULL OR t.partclass[0] >= 16384
               OR NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = m.member AND a.attname = id_column AND a.attnum = t.partattrs[0]))
        THEN ARRAY['0A000', format('table %s is not partitioned by its id alone', session_guard.shown(relid)), 'Nor may a partition be, or the key have an operator class of somebody''s own.',
            'Keep ids and status in an ordinary table beside it, by a trigger, and guard that one: see docs/tables.md of pg_session_guard.'] END;
END $$;

-- A hint that lists a table's columns.
CREATE OR REPLACE FUNCTION session_guard.other_column_hint(relid oid) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('Name another column. The columns of the table are listed by: SELECT attname, atttypid::pg_catalog.regtype FROM '
        'pg_catalog.pg_attribute WHERE attrelid OPERATOR(pg_catalog.=) %L::pg_catalog.regclass AND attnum OPERATOR(pg_catalog.>) 0 '
        'AND NOT attisdropped;', session_guard.shown(relid))
$$;

-- Why a column cannot hold ids, NULL if it can.
CREATE OR REPLACE FUNCTION session_guard.id_column_failure(relid oid, id_column name) RETURNS text[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE a pg_attribute; name CONSTANT text := session_guard.shown(relid); prefix text := format('column %I of table %s ', id_column, name);
BEGIN
    SELECT * INTO a FROM pg_attribute AS t WHERE t.attrelid = relid AND t.attname = id_column AND t.attnum > 0 AND NOT t.attisdropped;
    IF NOT FOUND THEN
        RETURN ARRAY['42703', format('table %s has no column %I', name, id_column), NULL, session_guard.other_column_hint(relid)];
    ELSIF a.atttypid <> ALL ('{smallint,integer,bigint,uuid,text,varchar}'::regtype[]) THEN
        RETURN ARRAY['42804', prefix || format('is of type %s, not an id''s', format_type(a.atttypid, NULL)),
            'An id is a smallint, integer, bigint, uuid, text or varchar.', session_guard.other_column_hint(relid)];
    ELSIF a.attgenerated = 'v' THEN
        RETURN ARRAY['42804', prefix || 'is a virtual generated column', NULL, session_guard.other_column_hint(relid)];
    ELSIF NOT (SELECT coalesce(bool_and(l.collisdeterministic), true) FROM pg_collation AS l WHERE l.oid = a.attcollation) THEN
        RETURN ARRAY['42P21', prefix || 'has a nondeterministic collation', 'Ids that compare equal must be the same text.',
            'Give the column a deterministic collation, such as "C".'];
    END IF;
    RETURN NULL;
END $$;

-- Why the status column cannot be read so, NULL if it can.
CREATE OR REPLACE FUNCTION session_guard.status_column_failure(relid oid, active_column name, active_when text) RETURNS text[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    a pg_attribute; name CONSTANT text := session_guard.shown(relid); forms text; form CONSTANT text := session_guard.form_of(active_when);
BEGIN
    SELECT * INTO a FROM pg_attribute AS t WHERE t.attrelid = relid AND t.attname = active_column AND t.attnum > 0 AND NOT t.attisdropped;
    IF NOT FOUND THEN
        RETURN ARRAY['42703', format('table %s has no column %I', name, active_column), NULL, session_guard.other_column_hint(relid)];
    ELSIF form IS NOT NULL AND a.attgenerated <> 'v' AND session_guard.status_sql(form, a.atttypid, 'x') IS NOT NULL THEN
        RETURN NULL;
    END IF;
    SELECT string_agg(f.example, '; ' ORDER BY f.n) INTO forms FROM (VALUES
        (1, 'true', '''true'' for one such as active'), (2, 'false', '''false'' for one such as is_disabled'),
        (3, 'past', '''past'' for one such as banned_until'), (4, 'future', '''future'' for one such as expires_at'),
        (5, '{}', 'a list such as ''{active,trial}'', or ''{1,2}'' for numbers'),
        (6, 'null', '''null'' for one that is NULL while an account is active')) AS f (n, form, example)
    WHERE a.attgenerated <> 'v' AND session_guard.status_sql(f.form, a.atttypid, 'x') IS NOT NULL;
    forms := coalesce('Say how the column is read: ' || forms || '.', session_guard.other_column_hint(relid));
    IF form IS NULL THEN
        RETURN ARRAY['22023', 'active_when must be true, false, null, past, future, or a list of values such as {active,trial}', NULL, forms];
    END IF;
    RETURN ARRAY['42804', format('active_when => %L does not fit column %I of table %s', form, active_column, name),
        CASE a.attgenerated WHEN 'v' THEN 'The column is a virtual generated column.'
             ELSE format('The column is of type %s.', format_type(a.atttypid, NULL)) END, forms];
END $$;

-- Whether one index makes the id the name of one account.
CREATE OR REPLACE FUNCTION session_guard.is_unique(relid oid, id_column name) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE i.indrelid = relid AND a.attname = id_column AND i.indisunique AND i.indimmediate AND i.indisvalid
          AND i.indisready AND i.indnkeyatts = 1 AND i.indpred IS NULL)
$$;

CREATE OR REPLACE FUNCTION session_guard.check_unique(relid oid, id_column name) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE others text;
BEGIN
    IF NOT session_guard.is_unique(relid, id_column) THEN
        SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.n) INTO others FROM pg_index AS i CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, n)
        JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
        WHERE i.indrelid = relid AND i.indisunique AND i.indpred IS NULL AND i.indnkeyatts > 1 AND a.attname <> check_unique.id_column
          AND EXISTS (SELECT FROM pg_attribute AS t WHERE t.attrelid = relid AND t.attname = check_unique.id_column AND t.attnum = ANY (i.indkey::int2[]));
        RAISE EXCEPTION USING ERRCODE = '55000', MESSAGE = format('column %I of table %s has no unique index of its own', id_column, session_guard.shown(relid)),
            DETAIL = 'An id must name one account. A partial, deferred or multi-column index does not say that.',
            HINT = CASE WHEN (SELECT c.relkind FROM pg_class AS c WHERE c.oid = relid) = 'p'
                THEN 'Keep ids and status in an ordinary table beside it, by a trigger, and guard that one: see docs/tables.md of pg_session_guard.'
                WHEN others IS NULL THEN format('If the column tells all accounts apart, run: CREATE UNIQUE INDEX ON %s (%I);', session_guard.shown(relid), id_column)
                ELSE format('Only together with %s does the column tell all accounts apart. Guard a stored generated column that is made of both: see docs/tables.md of pg_session_guard.', others) END;
    END IF;
END $$;

-- The numbers of the columns, as attach saw them on this very table.
CREATE OR REPLACE FUNCTION session_guard.recorded_columns(g session_guard.guard, relid oid) RETURNS smallint[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT ARRAY(SELECT split_part(p.part, ':', 1)::smallint FROM regexp_split_to_table(split_part(t.state, '|', 1), ' ') WITH ORDINALITY AS p (part, n)
                WHERE p.part ~ '^[0-9]+:[0-9]+$' ORDER BY p.n)
            FROM session_guard.trigger_state AS t WHERE t.guard = g.name AND t.relation = '' AND split_part(t.state, ' ', 1) = relid::text);
END $$;

-- A column whose name another column has now: the app may mean that one.
CREATE OR REPLACE FUNCTION session_guard.replaced_column(g session_guard.guard, relid oid) RETURNS name
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE numbers CONSTANT smallint[] := session_guard.recorded_columns(g, relid);
BEGIN
    RETURN (SELECT u.name FROM unnest(ARRAY[g.id_column, g.active_column] || g.revoke_on) WITH ORDINALITY AS u (name, n)
            JOIN pg_attribute AS a ON a.attrelid = relid AND a.attname = u.name AND a.attnum <> numbers[u.n]
            WHERE EXISTS (SELECT FROM pg_attribute AS o WHERE o.attrelid = relid AND o.attnum = numbers[u.n] AND NOT o.attisdropped) ORDER BY u.n LIMIT 1);
END $$;

-- The row with the names that its columns have now.
CREATE OR REPLACE FUNCTION session_guard.with_current_names(g session_guard.guard, relid oid) RETURNS session_guard.guard
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    names name[]; numbers CONSTANT smallint[] := session_guard.recorded_columns(g, relid);
BEGIN
    names := ARRAY(SELECT coalesce(a.attname, u.name) FROM unnest(ARRAY[g.id_column, g.active_column] || g.revoke_on) WITH ORDINALITY AS u (name, n)
        LEFT JOIN pg_attribute AS a ON a.attrelid = relid AND a.attnum = numbers[u.n] AND NOT a.attisdropped ORDER BY u.n);
    SELECT g.name, g.schema_name, g.table_name, g.table_owner, names[1], names[2], g.active_when, names[3:], g.max_session_age, g.is_default, g.attached_at, g.detached_at INTO g;
    RETURN g;
END $$;

-- Which guard a call means, its table, and whether it may be asked. users is NULL for the default guard. What is wrong
-- is in failure; a guard whose triggers are not in place has problems, and is read all the same.
CREATE OR REPLACE FUNCTION session_guard.open_guard(users oid, OUT g session_guard.guard, OUT relid oid, OUT id_type oid,
    OUT status_type oid, OUT problems text[], OUT failure text[])
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    served text; recorded text; table_owner oid; example session_guard.guard; now_named text; column_name name; other oid;
    replaced name; compared name; old session_guard.guard; statement text;
    stamp CONSTANT regprocedure := 'session_guard.stamp()';
BEGIN
    problems := '{}';
    IF users IS NULL THEN
        SELECT * INTO g FROM session_guard.guard AS r WHERE r.is_default AND r.detached_at IS NULL;
        IF NOT FOUND THEN
            SELECT * INTO example FROM session_guard.guard AS r WHERE r.detached_at IS NULL ORDER BY r.name LIMIT 1;
            failure := CASE WHEN example.name IS NULL THEN ARRAY['55000', 'no table is guarded', NULL, session_guard.attach_hint(NULL)]
                ELSE ARRAY['55000', 'none of the guarded tables is the default', NULL, format('Name the table in each call, or '
                    'say which one is meant by calls that name none, for example: SELECT session_guard.attach(%L, '
                    'is_default => true);', format('%I.%I', example.schema_name, example.table_name))] END;
            RETURN;
        END IF;
        relid := session_guard.locate(g);
        IF relid IS NULL THEN
            failure := session_guard.gone_failure(g);
            RETURN;
        END IF;
    ELSE
        relid := users;
        served := session_guard.served(relid, stamp);
        IF served IS NOT NULL THEN
            SELECT * INTO g FROM session_guard.guard AS r WHERE r.name = served AND r.detached_at IS NULL;
        ELSE
            SELECT r.* INTO g FROM session_guard.guard AS r JOIN pg_class AS c ON c.oid = users AND c.relname = r.table_name
            JOIN pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = r.schema_name
            WHERE r.detached_at IS NULL AND session_guard.locate(r) = users;
        END IF;
        IF g.name IS NULL THEN
            failure := session_guard.not_guarded_failure(users);
            RETURN;
        END IF;
    END IF;
    SELECT t.state INTO recorded FROM session_guard.trigger_state AS t WHERE t.guard = g.name AND t.relation = '';
    SELECT a.atttypid INTO id_type FROM pg_attribute AS a WHERE a.attrelid = open_guard.relid AND a.attname = g.id_column;
    SELECT a.atttypid INTO status_type FROM pg_attribute AS a WHERE a.attrelid = open_guard.relid AND a.attname = g.active_column;
    -- The names that table and columns had then are theirs still, and no trigger was touched.
    IF recorded = concat_ws('|', session_guard.state_of(relid, stamp, ARRAY[g.id_column, g.active_column] || g.revoke_on),
                            session_guard.shown(relid), g.table_owner, g.active_when) AND (SELECT c.relkind FROM pg_class AS c WHERE c.oid = open_guard.relid) <> 'p' THEN
        failure := session_guard.row_security_failure(relid, session_guard.owner());
        RETURN;
    END IF;

    SELECT c.relowner INTO table_owner FROM pg_class AS c WHERE c.oid = open_guard.relid;
    now_named := session_guard.shown(relid);
    -- By its OID, where attach has seen it here: a role that was renamed is the same, and one that has its name now is not.
    IF NOT session_guard.trusts(session_guard.owner(), table_owner)
       OR NOT pg_has_role(table_owner, session_guard.owner(), 'USAGE')
          AND coalesce(split_part(session_guard.recorded_state(g.name, '', relid), ' ', 2) <> table_owner::text, pg_get_userbyid(table_owner) <> g.table_owner) THEN
        failure := ARRAY['42501', format('the owner of table %s has not been trusted with its guard', now_named),
            'To read the table runs code of its owner''s choosing.',
            format('If %I is to be trusted, the extension''s owner attaches the table: SELECT session_guard.attach(%L);',
                pg_get_userbyid(table_owner), now_named)];
        RETURN;
    END IF;
    failure := session_guard.users_failure(relid);
    IF failure IS NULL AND NOT has_table_privilege(session_guard.owner(), relid, 'SELECT') THEN
        failure := ARRAY['42501', format('%I may not read table %s', pg_get_userbyid(session_guard.owner()), now_named), NULL,
            format('The table''s owner grants it by: GRANT SELECT ON %s TO %I;', now_named, pg_get_userbyid(session_guard.owner())),
            format('GRANT SELECT ON %s TO %I;', now_named, pg_get_userbyid(session_guard.owner()))];
    END IF;
    IF failure IS NOT NULL THEN
        RETURN;
    END IF;
    -- A table that lost its name to another.
    SELECT c.oid INTO other FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = g.schema_name AND c.relname = g.table_name AND c.oid <> open_guard.relid AND c.relkind IN ('r', 'p', 'f');
    IF other IS NOT NULL THEN
        failure := session_guard.replaced_failure(g, relid);
        -- The triggers go on: what they compare is of this table.
        g := session_guard.with_current_names(g, relid);
        SELECT a.atttypid INTO id_type FROM pg_attribute AS a WHERE a.attrelid = open_guard.relid AND a.attname = g.id_column;
        SELECT a.atttypid INTO status_type FROM pg_attribute AS a WHERE a.attrelid = open_guard.relid AND a.attname = g.active_column;
        RETURN;
    END IF;
    replaced := session_guard.replaced_column(g, relid);
    IF replaced IS NOT NULL THEN
        old := g;
        g := session_guard.with_current_names(g, relid);
        compared := (ARRAY[g.id_column, g.active_column] || g.revoke_on)[array_position(ARRAY[old.id_column, old.active_column] || old.revoke_on, replaced)];
        statement := format('SELECT session_guard.attach(%L, id_column => %L, active_column => %L, revoke_on => ARRAY[%s]::pg_catalog.name[]);', now_named, g.id_column, g.active_column,
            (SELECT string_agg(quote_literal(o.name), ', ' ORDER BY o.n) FROM unnest(g.revoke_on) WITH ORDINALITY AS o (name, n)));
        failure := ARRAY['42702', format('column %I of table %s is not the one that its triggers compare', replaced, now_named), format('They compare %I.', compared),
            format('Name the column that is meant. If it is %I, as the triggers have it, run: %s', compared, statement), statement];
        -- The triggers go on with the columns that they compare.
        SELECT a.atttypid INTO id_type FROM pg_attribute AS a WHERE a.attrelid = open_guard.relid AND a.attname = g.id_column;
        SELECT a.atttypid INTO status_type FROM pg_attribute AS a WHERE a.attrelid = open_guard.relid AND a.attname = g.active_column;
        RETURN;
    END IF;
    g := session_guard.with_current_names(g, relid);
    FOREACH column_name IN ARRAY ARRAY[g.id_column, g.active_column] || g.revoke_on LOOP
        IF NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = open_guard.relid AND a.attname = column_name AND a.attnum > 0 AND NOT a.attisdropped) THEN
            statement := CASE WHEN column_name = ANY (g.revoke_on) THEN format('SELECT session_guard.attach(%L, revoke_on => ARRAY[%s]::pg_catalog.name[]);',
                now_named, (SELECT string_agg(quote_literal(o.name), ', ' ORDER BY o.n) FROM unnest(array_remove(g.revoke_on, column_name)) WITH ORDINALITY AS o (name, n))) END;
            failure := ARRAY['42703', format('guarded column %I of table %s is gone', column_name, now_named), NULL, coalesce('To go on without it, run: ' || statement,
                format('Name the column that has taken its place: SELECT session_guard.attach(%L, id_column => ..., active_column => ...);', now_named)), statement];
            RETURN;
        END IF;
    END LOOP;
    SELECT a.atttypid INTO id_type FROM pg_attribute AS a WHERE a.attrelid = open_guard.relid AND a.attname = g.id_column;
    SELECT a.atttypid INTO status_type FROM pg_attribute AS a WHERE a.attrelid = open_guard.relid AND a.attname = g.active_column;
    failure := coalesce(session_guard.id_column_failure(relid, g.id_column),
                        session_guard.status_column_failure(relid, g.active_column, g.active_when), session_guard.partition_key_failure(relid, g.id_column), session_guard.row_security_failure(relid, session_guard.owner()));
    IF failure IS NOT NULL THEN
        RETURN;
    END IF;
    problems := session_guard.trigger_problems(relid, stamp, 'session_guard_', ARRAY[g.name, g.active_when],
        session_guard.when_clause(relid, g.id_column, id_type, g.active_column, g.active_when, g.revoke_on),
        pg_has_role(session_guard.owner(), table_owner, 'USAGE'));
END $$;

CREATE OR REPLACE FUNCTION session_guard.attach_hint(relid oid) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN relid IS NULL THEN 'Name the users table, its id column, and the column that says whether an account is '
        'active, for example: SELECT session_guard.attach(''users'', ''id'', ''active'');'
    ELSE format('To guard it, name its id column and the column that says whether an account is active, for example: '
        'SELECT session_guard.attach(%L, ''id'', ''active'');', session_guard.shown(relid)) END
$$;

CREATE OR REPLACE FUNCTION session_guard.gone_failure(g session_guard.guard) RETURNS text[]
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT ARRAY['42P01', format('guarded table %I.%I is gone', g.schema_name, g.table_name), NULL, 'Create or restore the table and '
        'attach it: the guard goes on with its options. If it is not wanted any more, the extension''s owner deletes its row of session_guard.guard.']
$$;

CREATE OR REPLACE FUNCTION session_guard.replaced_failure(g session_guard.guard, relid oid) RETURNS text[]
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT ARRAY['55000', format('guarded table %s has been renamed to %s, and another has its name', o.old_name, o.new_name), NULL,
        format('If the guard is to stay where it is, call session_guard.attach(%2$L). To move it to the table that has the name now, '
            'run: SELECT session_guard.detach(%2$L), session_guard.attach(%1$L);', o.old_name, o.new_name),
        format('SELECT session_guard.detach(%2$L), session_guard.attach(%1$L);', o.old_name, o.new_name)]
    FROM (VALUES (format('%I.%I', g.schema_name, g.table_name), session_guard.shown(relid))) AS o (old_name, new_name)
$$;

CREATE OR REPLACE FUNCTION session_guard.not_guarded_failure(users oid) RETURNS text[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE g session_guard.guard; elsewhere oid;
BEGIN
    IF session_guard.shown(users) IS NULL THEN
        RETURN ARRAY['42P01', format('there is no table with OID %s', users), 'The table is the first argument, before the user''s id.',
            'The guarded tables are listed by: SELECT name, schema_name, table_name FROM session_guard.guard WHERE detached_at IS NULL;'];
    END IF;
    SELECT r.* INTO g FROM session_guard.guard AS r WHERE r.detached_at IS NULL AND format('%I.%I', r.schema_name, r.table_name) = session_guard.shown(users);
    IF NOT FOUND THEN
        RETURN ARRAY['42704', format('table %s is not guarded', session_guard.shown(users)), NULL, CASE WHEN (SELECT c.relispartition FROM pg_class AS c WHERE c.oid = users)
            THEN format('It is a partition: name its partitioned table, which is %s.', session_guard.shown(pg_partition_root(users)))
            WHEN (SELECT c.relkind NOT IN ('r', 'p', 'f') OR c.oid < 16384 FROM pg_class AS c WHERE c.oid = users) THEN (session_guard.table_failure(users))[4]
            ELSE session_guard.attach_hint(users) END];
    END IF;
    elsewhere := session_guard.locate(g);
    RETURN CASE WHEN elsewhere IS NULL THEN session_guard.gone_failure(g) ELSE session_guard.replaced_failure(g, elsewhere) END;
END $$;

-- What apps call.

-- Reads an account with the rights of who calls this: the owner of the extension. Of two rows of one id the stricter
-- counts. With for_login the row is locked first, and read as it is then.
CREATE OR REPLACE FUNCTION session_guard.read_account(g session_guard.guard, relid oid, id_type oid, status_type oid, id text, for_login boolean,
    OUT is_known boolean, OUT is_active boolean, OUT since timestamptz)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    by_time CONSTANT boolean := session_guard.goes_by_time(g.active_when);
    at timestamptz;
BEGIN
    EXECUTE format('SELECT pg_catalog.count(*) OPERATOR(pg_catalog.>) 0::pg_catalog.int8, %s FROM '
            '(SELECT %s AS s FROM %s WHERE %I OPERATOR(pg_catalog.=) $1::%s%s) AS r',
        CASE WHEN NOT by_time THEN 'pg_catalog.bool_and(r.s), NULL::pg_catalog.timestamptz'
             WHEN g.active_when = 'past' THEN 'NULL::pg_catalog.bool, pg_catalog.max(r.s)'
             ELSE 'NULL::pg_catalog.bool, pg_catalog.min(r.s)' END,
        session_guard.status_sql(g.active_when, status_type, quote_ident(g.active_column)), session_guard.rows_of(relid), g.id_column,
        CASE id_type WHEN 'varchar'::regtype THEN 'pg_catalog.text' ELSE id_type::regtype::text END,
        CASE WHEN for_login THEN ' FOR SHARE' ELSE '' END)
    INTO is_known, is_active, at USING id;
    IF by_time THEN
        is_active := is_known AND session_guard.is_active_at(g.active_when, at, clock_timestamp());
        since := CASE WHEN g.active_when = 'past' AND at > '-infinity' THEN session_guard.later(at, (session_guard.current_policy()).stamp_margin) END;
    END IF;
END $$;

-- A transaction that has a snapshot of its own may not see what was disabled since.
CREATE OR REPLACE FUNCTION session_guard.check_snapshot(policy session_guard.policy) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF policy.in_old_snapshot = 'raise' AND current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        RAISE EXCEPTION USING ERRCODE = '25000', MESSAGE = format('a session cannot be checked in a %s transaction', current_setting('transaction_isolation')),
            DETAIL = 'The transaction does not see what was disabled since it began.',
            HINT = 'Check sessions in a transaction of their own, at READ COMMITTED.';
    END IF;
END $$;

-- Warns, once a connection, of a guard whose triggers are not all in place.
CREATE OR REPLACE FUNCTION session_guard.warn_disarmed(g session_guard.guard, relid oid, problems text[]) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    mark CONSTANT text := relid::text;
    warned CONSTANT text[] := string_to_array(coalesce(current_setting('session_guard.warned', true), ''), ' ');
BEGIN
    IF mark = ANY (warned) THEN
        RETURN;
    END IF;
    PERFORM set_config('session_guard.warned', array_to_string(warned || mark, ' '), false);
    RAISE WARNING USING ERRCODE = '55000',
        MESSAGE = format('the guard of table %s is not armed: %s', session_guard.shown(relid), array_to_string(problems, ', ')),
        HINT = format('To put the triggers back and to stamp who was disabled meanwhile, run: SELECT session_guard.reconcile(%L);', session_guard.shown(relid));
END $$;

-- The verdict. Each step sees what is committed when it begins, at READ COMMITTED: the account is read with its epoch, or
-- before it, so that what is stamped in between makes the answer stricter.
CREATE OR REPLACE FUNCTION session_guard.verdict_template(users oid, user_id text, login timestamptz) RETURNS text
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
<<this>>
DECLARE
    policy session_guard.policy; opened record; account record; clock timestamptz;
    id text; is_known boolean; is_active boolean; at timestamptz; epoch timestamptz; max_age interval;
BEGIN
    -- BRANCHES
    IF is_known IS NULL THEN
        policy := session_guard.current_policy();
        PERFORM session_guard.check_snapshot(policy);
        opened := session_guard.open_guard(users);
        IF opened.failure IS NOT NULL THEN
            PERFORM session_guard.raise_failure(opened.failure);
        ELSIF opened.problems <> '{}' THEN
            PERFORM session_guard.warn_disarmed(opened.g, opened.relid, opened.problems);
            IF policy.when_disarmed <> 'live' THEN
                RETURN 'disarmed';
            END IF;
        END IF;
        IF policy.when_timeline_changed <> 'live' AND NOT session_guard.is_acknowledged() THEN
            RETURN 'unacknowledged_timeline';
        END IF;
        id := session_guard.id_in(user_id, opened.id_type);
        IF id IS NULL THEN
            RETURN 'unknown_user';
        END IF;
        account := session_guard.read_account(opened.g, opened.relid, opened.id_type, opened.status_type, id, false);
        is_known := account.is_known;
        is_active := account.is_active;
        max_age := (opened.g).max_session_age;
        epoch := greatest(session_guard.epoch_by_key((opened.g).name, session_guard.key_of(id)), account.since);
    END IF;
    IF NOT is_known THEN
        RETURN 'unknown_user';
    ELSIF NOT is_active THEN
        RETURN 'disabled';
    END IF;
    clock := clock_timestamp();
    login := coalesce(login, '-infinity');
    IF login < epoch OR epoch IS NOT NULL AND login = '-infinity' OR epoch = 'infinity' THEN
        RETURN 'revoked';
    ELSIF max_age IS NOT NULL AND session_guard.is_older(login, max_age, clock) THEN
        RETURN 'expired';
    ELSIF login > clock + policy.future_login_tolerance
          AND NOT (login IS NOT DISTINCT FROM epoch AND session_guard.is_given_out(login, max_age, policy.stamp_margin, clock)) THEN
        RETURN 'login_in_future';
    END IF;
    RETURN 'valid';
END $$;

-- Whether a login is longer ago than a session may last. A month is 30 days.
CREATE OR REPLACE FUNCTION session_guard.is_older(login timestamptz, max_age interval, clock timestamptz) RETURNS boolean
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF max_age IS NULL THEN
        RETURN false;
    END IF;
    RETURN login = '-infinity' OR login < clock AND extract(epoch FROM clock) - extract(epoch FROM login) > session_guard.seconds(max_age);
END $$;

-- An interval's length, where a month has 30 days and a day 24 hours.
CREATE OR REPLACE FUNCTION session_guard.seconds(length interval) RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT (extract(year FROM length) * 12 + extract(month FROM length)) * 30 * 86400 + extract(day FROM length) * 86400
         + extract(hour FROM length) * 3600 + extract(minute FROM length) * 60 + extract(second FROM length));
END $$;

-- Whether session_start gives out an epoch that is ahead. Where sessions have an age, none that is far ahead, as after a
-- clock that was wrong: it tells nothing of the session's age.
CREATE OR REPLACE FUNCTION session_guard.is_given_out(login timestamptz, max_age interval, margin interval, clock timestamptz) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT max_age IS NULL OR login <= clock + margin + interval '1 min');
END $$;

-- The login time of a new session, NULL for an account that must not log in.
--
-- The row is locked for good, so that a change of the account comes before or after. The lock on guard_epoch keeps out
-- who stamps a whole guard, or users of a watched table, between the epoch that is read and the clock. It is given back
-- with the savepoint that it was taken in: who holds it waits for nobody, and who waits for it holds no row.
CREATE OR REPLACE FUNCTION session_guard.login(users oid, user_id text) RETURNS timestamptz
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    opened record; account record; policy session_guard.policy := session_guard.current_policy();
    id text; given timestamptz;
BEGIN
    PERFORM session_guard.check_writable('session_start()');
    PERFORM session_guard.check_snapshot(policy);
    opened := session_guard.open_guard(users);
    IF opened.failure IS NOT NULL THEN
        PERFORM session_guard.raise_failure(opened.failure);
    ELSIF opened.problems <> '{}' THEN
        PERFORM session_guard.warn_disarmed(opened.g, opened.relid, opened.problems);
        IF policy.when_disarmed <> 'live' THEN
            RETURN NULL;
        END IF;
    END IF;
    IF policy.when_timeline_changed <> 'live' AND NOT session_guard.is_acknowledged() THEN
        RETURN NULL;
    END IF;
    id := session_guard.id_in(user_id, opened.id_type);
    IF id IS NULL THEN
        RETURN NULL;
    END IF;
    LOOP
        BEGIN
            account := session_guard.read_account(opened.g, opened.relid, opened.id_type, opened.status_type, id, true);
            IF NOT account.is_known THEN
                -- A row that was waited for may be gone, and another have come in its place.
                account := session_guard.read_account(opened.g, opened.relid, opened.id_type, opened.status_type, id, false);
                CONTINUE WHEN account.is_known;
            END IF;
            IF account.is_active IS NOT TRUE THEN
                RETURN NULL;
            END IF;
            BEGIN
                BEGIN
                    LOCK TABLE session_guard.guard_epoch IN SHARE MODE NOWAIT;
                EXCEPTION WHEN lock_not_available THEN
                    -- Not to be taken for a wait for the row that has run into lock_timeout.
                    RAISE EXCEPTION USING ERRCODE = 'SG003';
                END;
                given := greatest(session_guard.epoch_by_key((opened.g).name, session_guard.key_of(id)), account.since);
                given := greatest(given, clock_timestamp());
                RAISE EXCEPTION USING ERRCODE = 'SG001';
            EXCEPTION WHEN SQLSTATE 'SG001' THEN
                NULL;
            END;
            PERFORM session_guard.note_login((opened.g).name, session_guard.key_of(id));
            RETURN CASE WHEN session_guard.is_given_out(given, (opened.g).max_session_age, policy.stamp_margin, clock_timestamp()) THEN given END;
        EXCEPTION WHEN SQLSTATE 'SG003' THEN
            NULL;
        WHEN serialization_failure THEN
            -- The row was waited for, and has gone to another partition.
            IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
                RAISE;
            END IF;
        END;
        BEGIN
            LOCK TABLE session_guard.guard_epoch IN SHARE MODE;
            RAISE EXCEPTION USING ERRCODE = 'SG001';
        EXCEPTION WHEN SQLSTATE 'SG001' THEN
            NULL;
        END;
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION session_guard.epoch_of_user(users oid, user_id text) RETURNS timestamptz
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE opened record; id text;
BEGIN
    opened := session_guard.open_guard(users);
    PERFORM session_guard.raise_failure(opened.failure);
    id := session_guard.id_in(user_id, opened.id_type);
    RETURN CASE WHEN id IS NOT NULL THEN session_guard.epoch_by_key((opened.g).name, session_guard.key_of(id)) END;
END $$;

CREATE OR REPLACE FUNCTION session_guard.token_verdict(of_scope text, of_subject text, issued timestamptz) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    policy session_guard.policy := session_guard.current_policy();
    epoch timestamptz; at CONSTANT timestamptz := coalesce(issued, '-infinity');
BEGIN
    PERFORM session_guard.check_snapshot(policy);
    IF policy.when_timeline_changed <> 'live' AND NOT session_guard.is_acknowledged() THEN
        RETURN false;
    END IF;
    epoch := greatest(
        (SELECT max(t.epoch) FROM session_guard.token_epoch AS t WHERE t.scope = session_guard.key_of(of_scope) AND t.subject = session_guard.key_of(of_subject)),
        (SELECT max(t.epoch) FROM session_guard.token_epoch AS t WHERE t.scope = session_guard.key_of(of_scope) AND t.subject IS NULL));
    RETURN of_scope IS NOT NULL AND (epoch IS NULL OR at >= epoch AND at > '-infinity' AND epoch < 'infinity')
       AND (at <= clock_timestamp() + policy.future_login_tolerance OR at IS NOT DISTINCT FROM epoch);
END $$;

-- What ends sessions by a call. Who calls is told by the role that logged in or was SET, as what stands between cannot be.
CREATE OR REPLACE FUNCTION session_guard.check_update(relid oid) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT has_table_privilege(session_guard.acting_role(), relid, 'UPDATE') THEN
        RAISE EXCEPTION USING ERRCODE = '42501', MESSAGE = format('must have UPDATE on table %s to end its sessions', session_guard.shown(relid)),
            HINT = format('The table''s owner grants it by: GRANT UPDATE ON %s TO %I;', session_guard.shown(relid), session_guard.acting_role());
    END IF;
END $$;

CREATE OR REPLACE FUNCTION session_guard.admin_reason(reason text) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN coalesce(reason, '') IN ('', 'admin') THEN 'admin' ELSE 'admin: ' || left(reason, 1000000) END
$$;

CREATE OR REPLACE FUNCTION session_guard.revoke_user(users oid, user_id text, reason text) RETURNS timestamptz
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE opened record; id text; is_known boolean := false;
BEGIN
    PERFORM session_guard.check_writable('revoke_sessions()');
    opened := session_guard.open_guard(users);
    PERFORM session_guard.raise_failure(opened.failure);
    PERFORM session_guard.check_update(opened.relid);
    id := session_guard.id_in(user_id, opened.id_type);
    IF id IS NOT NULL THEN
        EXECUTE format('SELECT pg_catalog.count(*) OPERATOR(pg_catalog.>) 0::pg_catalog.int8 FROM (SELECT FROM %s WHERE %I OPERATOR(pg_catalog.=) $1::%s FOR NO KEY UPDATE) AS r',
            session_guard.rows_of(opened.relid), (opened.g).id_column,
            CASE opened.id_type WHEN 'varchar'::regtype THEN 'pg_catalog.text' ELSE opened.id_type::regtype::text END) INTO is_known USING id;
    END IF;
    IF is_known THEN
        RETURN session_guard.stamp_user((opened.g).name, session_guard.key_of(id), session_guard.admin_reason(reason));
    END IF;
    RAISE WARNING USING ERRCODE = '02000', MESSAGE = format('table %s has no such user', session_guard.shown(opened.relid)),
        HINT = 'No session was ended. The first argument is the user''s id.';
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION session_guard.revoke_all_sessions(users regclass DEFAULT NULL, reason text DEFAULT NULL) RETURNS timestamptz
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE opened record;
BEGIN
    PERFORM session_guard.check_writable('revoke_all_sessions()');
    opened := session_guard.open_guard(users);
    PERFORM session_guard.raise_failure(opened.failure);
    PERFORM session_guard.check_update(opened.relid);
    -- What a clock that was ahead has noticed is to lie before what is stamped now.
    UPDATE session_guard.unwatched AS u SET noticed_at = now() WHERE u.guard = (opened.g).name AND u.noticed_at > clock_timestamp();
    RETURN session_guard.stamp_guard((opened.g).name COLLATE "default", session_guard.admin_reason(reason COLLATE "default"));
END $$;

CREATE OR REPLACE FUNCTION session_guard.revoke_tokens(scope text, subject text DEFAULT NULL, reason text DEFAULT NULL) RETURNS timestamptz
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM session_guard.check_writable('revoke_tokens()');
    RETURN CASE WHEN scope IS NOT NULL THEN
        session_guard.stamp_tokens(session_guard.key_of(scope COLLATE "default"), session_guard.key_of(subject COLLATE "default"), session_guard.admin_reason(reason COLLATE "default")) END;
END $$;

-- The overloads: every call has an exact match, so that no function planted beside them is preferred. A text goes on under the
-- database's collation: its own may be one that LIKE refuses, that takes two texts for one, or none that can be told.
CREATE OR REPLACE FUNCTION session_guard.make_app_functions(app_schema text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $do$
DECLARE id_type text; login_type text; with_table boolean; call text; made text;
    head CONSTANT text := 'CREATE OR REPLACE FUNCTION %s RETURNS %s LANGUAGE plpgsql VOLATILE PARALLEL %s SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$ BEGIN %s END $f$';
    needs_table CONSTANT text := 'IF users IS NULL THEN PERFORM session_guard.raise_failure(ARRAY[''22004'', ''the table must not be null'', NULL, session_guard.attach_hint(NULL)]); END IF; ';
BEGIN
    FOREACH id_type IN ARRAY ARRAY['bigint', 'integer', 'smallint', 'uuid', 'text'] LOOP
        FOREACH with_table IN ARRAY ARRAY[false, true] LOOP
            made := CASE WHEN with_table THEN 'users regclass, ' ELSE '' END || 'user_id ' || id_type;
            call := CASE WHEN with_table THEN 'users' ELSE 'NULL' END || ', user_id::text COLLATE "default"';
            FOREACH login_type IN ARRAY ARRAY['timestamptz', 'timestamp'] LOOP
                EXECUTE format(head, format('%I.session_valid(%s, login_at %s)', app_schema, made, login_type), 'boolean', 'UNSAFE',
                    CASE WHEN with_table THEN needs_table ELSE '' END || format('RETURN session_guard.verdict(%s, %s) = ''valid'';', call,
                        CASE login_type WHEN 'timestamp' THEN 'login_at AT TIME ZONE ''UTC''' ELSE 'login_at' END));
                EXECUTE format(head, format('%I.session_verdict(%s, login_at %s)', app_schema, made, login_type), 'text', 'UNSAFE',
                    CASE WHEN with_table THEN needs_table ELSE '' END || format('RETURN session_guard.verdict(%s, %s);', call,
                        CASE login_type WHEN 'timestamp' THEN 'login_at AT TIME ZONE ''UTC''' ELSE 'login_at' END));
            END LOOP;
            EXECUTE format(head, format('%I.session_start(%s)', app_schema, made), 'timestamptz', 'UNSAFE',
                CASE WHEN with_table THEN needs_table ELSE '' END || format('RETURN session_guard.login(%s);', call));
            EXECUTE format(head, format('session_guard.epoch_of(%s)', made), 'timestamptz', 'UNSAFE',
                CASE WHEN with_table THEN needs_table ELSE '' END || format('RETURN session_guard.epoch_of_user(%s);', call));
        END LOOP;
        EXECUTE format(head, format('session_guard.revoke_sessions(user_id %s, reason text DEFAULT NULL, users regclass DEFAULT NULL)', id_type),
            'timestamptz', 'UNSAFE', 'RETURN session_guard.revoke_user(users, user_id::text COLLATE "default", reason COLLATE "default");');
        EXECUTE format(replace(head, 'VOLATILE', 'STABLE'), format('session_guard.event_key(user_id %s, users regclass)', id_type), 'text[]', 'UNSAFE',
            'DECLARE opened record := session_guard.open_guard(users); BEGIN PERFORM session_guard.raise_failure(opened.failure); '
            'RETURN ARRAY[(opened.g).name, session_guard.key_of(session_guard.id_in(user_id::text COLLATE "default", opened.id_type))]; END;');
        -- With the caller's rights, who may SELECT the record or not.
        EXECUTE format('CREATE OR REPLACE FUNCTION session_guard.history(user_id %s, users regclass DEFAULT NULL) RETURNS SETOF session_guard.event '
            'LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $f$ DECLARE key CONSTANT text[] := session_guard.event_key(user_id, users); BEGIN '
            'RETURN QUERY SELECT e.* FROM session_guard.event AS e WHERE e.user_id = key[2] COLLATE "C" AND e.guard = key[1] COLLATE "C" ORDER BY e.at DESC, e.id DESC; END $f$', id_type);
    END LOOP;
    FOREACH login_type IN ARRAY ARRAY['timestamptz', 'timestamp'] LOOP
        EXECUTE format(head, format('%I.token_valid(scope text, subject text, issued_at %s)', app_schema, login_type), 'boolean', 'UNSAFE',
            format('RETURN session_guard.token_verdict(scope COLLATE "default", subject COLLATE "default", %s);',
                CASE login_type WHEN 'timestamp' THEN 'issued_at AT TIME ZONE ''UTC''' ELSE 'issued_at' END));
    END LOOP;
    -- A superuser replaces the function of another role, who owns it still and could replace it again.
    IF EXISTS (SELECT FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE n.nspname = app_schema AND p.proowner <> session_guard.owner()
               AND p.proname IN ('session_valid', 'session_verdict', 'session_start', 'token_valid')) THEN
        RAISE EXCEPTION USING ERRCODE = '42501', MESSAGE = format('schema %I has functions of another role with the names of those that apps call', app_schema);
    END IF;
END $do$;

-- What triggers call.

-- Warns once a connection of a guard that is broken, and notes that a change went unstamped: the app's own write goes on.
CREATE OR REPLACE FUNCTION session_guard.note_broken(relid oid, of_guard text, failure text[]) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    mark CONSTANT text := relid::text;
    warned CONSTANT text[] := string_to_array(coalesce(current_setting('session_guard.broken', true), ''), ' ');
BEGIN
    INSERT INTO session_guard.unwatched (guard, noticed_at, reason)
    SELECT g.name, clock_timestamp(), failure[2] FROM session_guard.guard AS g
    WHERE g.name = of_guard AND NOT EXISTS (SELECT FROM session_guard.unwatched AS u
        WHERE u.guard = of_guard AND u.noticed_at BETWEEN clock_timestamp() - interval '1 min' AND clock_timestamp());
    IF mark <> ALL (warned) THEN
        PERFORM set_config('session_guard.broken', array_to_string(warned || mark, ' '), false);
        IF failure[3] IS NULL THEN
            RAISE WARNING USING ERRCODE = failure[1], MESSAGE = failure[2], HINT = failure[4];
        ELSE
            RAISE WARNING USING ERRCODE = failure[1], MESSAGE = failure[2], DETAIL = failure[3], HINT = failure[4];
        END IF;
    END IF;
END $$;

-- Called by the four triggers of a users table.
CREATE OR REPLACE FUNCTION session_guard.stamp_template() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    opened record; r record; g session_guard.guard; policy session_guard.policy; floor timestamptz; clock timestamptz; why text;
    guard_name text; form text; old_key text; new_key text; status_changed boolean; changed_column text;
    -- Whether the account was active and is; for a guard that goes by time, the two times.
    was boolean; is_now boolean; was_at timestamptz; now_at timestamptz;
    -- The table of a partition.
    root oid := TG_RELID; moved text[];
BEGIN
    IF TG_WHEN <> 'AFTER' OR (TG_LEVEL = 'ROW') = (TG_OP = 'TRUNCATE') THEN
        RAISE EXCEPTION USING ERRCODE = '39P01', MESSAGE = format('trigger %I of table %s was not made by session_guard.attach', TG_NAME, session_guard.shown(TG_RELID)),
            HINT = format('To remove it, run: DROP TRIGGER %I ON %s;', TG_NAME, session_guard.shown(TG_RELID));
    END IF;
    -- BRANCHES
    IF guard_name IS NULL THEN
        IF session_guard.served(TG_RELID, 'session_guard.stamp()') IS NULL THEN
            root := pg_partition_root(TG_RELID);
            IF root IS NULL THEN
                -- A partition that was detached.
                RETURN NULL;
            END IF;
        END IF;
        opened := session_guard.open_guard(root);
        g := opened.g;
        IF opened.failure[1] NOT IN ('42702', '55000') OR opened.failure IS NOT NULL AND coalesce(session_guard.id_column_failure(root, g.id_column), session_guard.status_column_failure(root, g.active_column, g.active_when)) IS NOT NULL THEN
            -- While a dump is restored, accounts may come before the guard's row: they have no session yet.
            IF opened.failure[1] <> '42704' OR TG_OP <> 'INSERT' THEN
                PERFORM session_guard.note_broken(root, TG_ARGV[0], opened.failure);
            END IF;
            RETURN NULL;
        END IF;
        guard_name := g.name;
        form := g.active_when;
        IF TG_OP IN ('UPDATE', 'DELETE') THEN
            EXECUTE format('SELECT session_guard.key_of(($1).%I::pg_catalog.text)', g.id_column) INTO old_key USING OLD;
        END IF;
        IF TG_OP IN ('UPDATE', 'INSERT') THEN
            EXECUTE format('SELECT session_guard.key_of(($1).%I::pg_catalog.text)', g.id_column) INTO new_key USING NEW;
        END IF;
        IF TG_OP = 'UPDATE' THEN
            EXECUTE format('SELECT %1$s AS was, %2$s AS is_now, pg_catalog.record_image_ne(ROW(($1).%3$I), ROW(($2).%3$I)) AS status_changed, %4$s AS changed_column',
                session_guard.status_sql(form, opened.status_type, format('($1).%I', g.active_column)), session_guard.status_sql(form, opened.status_type, format('($2).%I', g.active_column)),
                g.active_column, session_guard.changed_column_sql(g.revoke_on, '($1).%1$I', '($2).%1$I')) INTO r USING OLD, NEW;
            status_changed := r.status_changed;
            changed_column := r.changed_column;
            IF session_guard.goes_by_time(form) THEN
                was_at := r.was;
                now_at := r.is_now;
            ELSE
                was := r.was;
                is_now := r.is_now;
            END IF;
        END IF;
    END IF;

    IF TG_OP = 'TRUNCATE' THEN
        PERFORM session_guard.stamp_guard(guard_name, 'truncated');
        RETURN NULL;
    ELSIF TG_OP = 'INSERT' THEN
        IF root <> TG_RELID THEN
            -- A row that gets an id of another partition is deleted there and inserted here.
            moved := string_to_array(current_setting('session_guard.moved', true), ' ');
            IF moved[1] = pg_current_xact_id()::text AND moved[2] = root::text THEN
                PERFORM session_guard.stamp_user(guard_name, new_key, 'id_changed', floor => session_guard.epoch_by_key(guard_name, convert_from(decode(moved[3], 'hex'), getdatabaseencoding())));
                RETURN NULL;
            END IF;
        END IF;
        IF EXISTS (SELECT FROM session_guard.epoch AS e WHERE e.user_id = new_key AND e.guard = guard_name) THEN
            PERFORM session_guard.stamp_user(guard_name, new_key, 'recreated');
        END IF;
        RETURN NULL;
    ELSIF TG_OP = 'DELETE' THEN
        IF old_key IS NOT NULL THEN
            PERFORM session_guard.stamp_user(guard_name, old_key, 'deleted');
            IF root <> TG_RELID THEN
                PERFORM set_config('session_guard.moved', concat_ws(' ', pg_current_xact_id(), root, encode(convert_to(old_key, getdatabaseencoding()), 'hex')), true);
            END IF;
        END IF;
        RETURN NULL;
    ELSIF old_key IS DISTINCT FROM new_key THEN
        -- A login that was given out at the old id's epoch, ahead of the clock, must not count for the new id.
        IF old_key IS NOT NULL THEN
            floor := session_guard.stamp_user(guard_name, old_key, 'id_changed');
        END IF;
        IF new_key IS NOT NULL THEN
            PERFORM session_guard.stamp_user(guard_name, new_key, 'id_changed', floor => floor);
        END IF;
        RETURN NULL;
    ELSIF new_key IS NULL THEN
        RETURN NULL;
    END IF;
    why := CASE WHEN changed_column IS NOT NULL THEN 'column:' || changed_column WHEN NOT status_changed THEN 'changed' END;
    IF form IN ('past', 'future') THEN
        clock := clock_timestamp();
        was := session_guard.is_active_at(form, was_at, clock);
        is_now := session_guard.is_active_at(form, now_at, clock);
    END IF;
    IF was <> is_now THEN
        why := CASE WHEN is_now THEN 'enabled' ELSE 'disabled' END;
    END IF;
    IF why IS NOT NULL THEN
        PERFORM session_guard.stamp_user(guard_name, new_key, why);
    END IF;
    IF form IN ('past', 'future') AND was AND is_now THEN
        policy := session_guard.current_policy();
        IF form = 'past' AND was_at > '-infinity' AND coalesce(now_at < was_at, true) THEN
            PERFORM session_guard.keep_end_of_ban(guard_name, new_key, session_guard.later(was_at, policy.stamp_margin));
        ELSIF form = 'future' AND was_at < 'infinity' AND coalesce(now_at > was_at, true) THEN
            -- If that time passes before this commits, the account was not active meanwhile.
            INSERT INTO session_guard.pending (guard, user_id, unless_past) VALUES (guard_name, new_key, was_at);
        END IF;
    END IF;
    RETURN NULL;
END $$;

-- The first of the columns that has changed, as SQL; old and new are formats of a column.
CREATE OR REPLACE FUNCTION session_guard.changed_column_sql(columns name[], old text, new text) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce('CASE ' || string_agg(format('WHEN pg_catalog.record_image_ne(ROW(%s), ROW(%s)) THEN %L', format(old, o.name), format(new, o.name), o.name), ' ' ORDER BY o.n) || ' END',
        'NULL::pg_catalog.text') FROM unnest(columns) WITH ORDINALITY AS o (name, n)
$$;

-- What a transaction stamps when it commits: users of watched tables, and accounts that have expired before a later time
-- is committed. In the order of their keys, so that no two transactions wait for one another; logins wait until it ends.
-- Of a guard with more users than that, everybody, as the library does.
CREATE OR REPLACE FUNCTION session_guard.stamp_pending() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE p record; g session_guard.guard; relid oid; id_type oid; opened record; opened_for text; is_there boolean; is_free boolean; account record; id text; max_users CONSTANT bigint := 250000;
BEGIN
    -- The first call does all.
    IF NOT EXISTS (SELECT FROM session_guard.pending AS q WHERE q.id = NEW.id) THEN
        RETURN NULL;
    END IF;
    IF EXISTS (SELECT FROM session_guard.pending AS q WHERE q.transaction_id = pg_current_xact_id() AND q.ends IS NULL AND NOT q.again) THEN
        LOCK TABLE session_guard.guard_epoch IN ROW EXCLUSIVE MODE;
    END IF;
    FOR p IN WITH taken AS (DELETE FROM session_guard.pending AS q WHERE q.transaction_id = pg_current_xact_id() AND q.ends IS NULL AND NOT q.again RETURNING q.*),
        users AS (SELECT t.guard, t.user_id, (array_agg(t.related ORDER BY t.id) FILTER (WHERE t.related IS NOT NULL))[1] AS related, min(t.unless_past) AS unless_past
            FROM (SELECT taken.* FROM taken) AS t GROUP BY t.guard, t.user_id),
        many AS (SELECT u.guard, min(u.related) AS related FROM users AS u WHERE u.related IS NOT NULL GROUP BY u.guard HAVING count(*) > max_users)
        SELECT m.guard, NULL AS user_id, m.related, NULL AS unless_past FROM many AS m
        UNION ALL SELECT u.guard, u.user_id, u.related, u.unless_past FROM users AS u
        WHERE u.related IS NULL OR u.user_id IS NULL OR NOT EXISTS (SELECT FROM many AS m WHERE m.guard = u.guard)
        ORDER BY 1, 2 NULLS FIRST
    LOOP
        IF p.user_id IS NULL THEN
            PERFORM session_guard.stamp_guard(p.guard, 'related:' || p.related, true);
        ELSIF p.related IS NOT NULL THEN
            IF opened_for IS DISTINCT FROM p.guard THEN
                opened_for := p.guard;
                SELECT r.* INTO g FROM session_guard.guard AS r WHERE r.name = p.guard;
                is_there := FOUND;
                relid := CASE WHEN is_there THEN session_guard.locate(g) END;
                -- Whoever has locked the users table may be waiting for this transaction.
                is_free := relid IS NOT NULL;
                BEGIN
                    IF is_free THEN
                        EXECUTE format('LOCK TABLE %s IN ROW EXCLUSIVE MODE NOWAIT', session_guard.rows_of(relid));
                    END IF;
                EXCEPTION WHEN lock_not_available OR insufficient_privilege THEN
                    is_free := SQLSTATE = '42501';
                END;
                IF is_free THEN
                    opened := session_guard.open_guard(relid);
                    is_free := opened.failure IS NULL;
                END IF;
                SELECT a.atttypid INTO id_type FROM pg_attribute AS a WHERE a.attrelid = relid AND a.attname = (session_guard.with_current_names(g, relid)).id_column
                    AND a.atttypid = ANY ('{smallint,integer,bigint,uuid,text,varchar}'::regtype[]);
            END IF;
            -- A guard that was forgotten has no epochs.
            CONTINUE WHEN NOT is_there;
            -- An id that no account has needs no epoch. Of a table that cannot be read now, nobody knows.
            id := CASE WHEN id_type IS NULL THEN p.user_id ELSE session_guard.id_in(p.user_id, id_type) END;
            IF id IS NOT NULL AND is_free THEN
                account := session_guard.read_account(opened.g, opened.relid, opened.id_type, opened.status_type, id, false);
                CONTINUE WHEN NOT account.is_known AND NOT session_guard.is_digest(id);
            END IF;
            IF id IS NOT NULL THEN
                PERFORM session_guard.stamp_user(p.guard, id, 'related:' || p.related, true);
            END IF;
        ELSIF p.unless_past <= clock_timestamp() THEN
            PERFORM session_guard.stamp_user(p.guard, p.user_id, 'enabled', true);
        END IF;
    END LOOP;
    PERFORM session_guard.end_stored();
    FOR p IN DELETE FROM session_guard.pending AS q WHERE q.transaction_id = pg_current_xact_id() AND q.again RETURNING q.guard LOOP
        PERFORM session_guard.raise_again(p.guard);
    END LOOP;
    RETURN NULL;
END $$;

DROP TRIGGER IF EXISTS session_guard_at_commit ON session_guard.pending;
CREATE CONSTRAINT TRIGGER session_guard_at_commit AFTER INSERT ON session_guard.pending DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION session_guard.stamp_pending();
ALTER TABLE session_guard.pending ENABLE ALWAYS TRIGGER session_guard_at_commit;

-- Called before a row of the extension's own tables is written, but by this edition's own functions: those are told by their search_path,
-- which whoever else has it misses this by, and no more. What a dump brings beside rows that are there, or that others are about to commit,
-- raises them, as COPY would be refused whole at the first; so do rows that logical replication applies. Edits by hand are as they are.
CREATE OR REPLACE FUNCTION session_guard.apply_replicated() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE is_applied CONSTANT boolean := current_setting('session_replication_role') = 'replica';
BEGIN
    IF TG_TABLE_SCHEMA <> 'session_guard' OR NOT is_applied AND TG_OP <> 'INSERT' THEN
        RETURN coalesce(NEW, OLD);
    ELSIF TG_OP = 'UPDATE' THEN
        IF TG_TABLE_NAME IN ('epoch', 'guard_epoch', 'token_epoch') THEN
            IF NEW.epoch > OLD.epoch THEN
                RETURN NEW;
            END IF;
        END IF;
        RETURN NULL;
    ELSIF TG_OP = 'DELETE' THEN
        -- Each server forgets and prunes for itself.
        RETURN NULL;
    ELSIF TG_TABLE_NAME IN ('epoch', 'guard_epoch', 'token_epoch') THEN
        IF NOT is_applied AND current_query() ~* '(^|[^a-z_])copy([^a-z_]|$)' THEN
            -- Of many keys, in another order than those who stamp them: a deadlock, if each waited for the other's rows. So this
            -- waits for all who have stamped, before its first row.
            EXECUTE format('LOCK TABLE session_guard.%I IN SHARE ROW EXCLUSIVE MODE', TG_TABLE_NAME);
        END IF;
        CASE TG_TABLE_NAME
        WHEN 'epoch' THEN PERFORM session_guard.raise_user(NEW.guard, NEW.user_id, NEW.epoch, NEW.reason, NEW.stamped_at, NEW.is_related);
        WHEN 'guard_epoch' THEN PERFORM session_guard.raise_guard(NEW.guard, NEW.epoch, NEW.reason, NEW.stamped_at);
        ELSE PERFORM session_guard.raise_token(NEW.scope, NEW.subject, NEW.epoch, NEW.reason, NEW.stamped_at);
        END CASE;
        RETURN NULL;
    ELSIF TG_TABLE_NAME = 'guard' THEN
        IF EXISTS (SELECT FROM session_guard.guard AS g WHERE g.name = NEW.name) THEN
            RETURN NULL;
        END IF;
        NEW.is_default := NEW.is_default AND NOT EXISTS (SELECT FROM session_guard.guard AS g WHERE g.is_default);
    ELSIF TG_TABLE_NAME = 'watch' THEN
        IF EXISTS (SELECT FROM session_guard.watch AS w WHERE (w.schema_name, w.table_name) = (NEW.schema_name, NEW.table_name)) THEN
            RETURN NULL;
        END IF;
    ELSIF TG_TABLE_NAME = 'store' THEN
        IF EXISTS (SELECT FROM session_guard.store AS t WHERE (t.schema_name, t.table_name) = (NEW.schema_name, NEW.table_name)) THEN
            RETURN NULL;
        END IF;
    ELSIF TG_TABLE_NAME = 'trigger_state' THEN
        IF is_applied OR EXISTS (SELECT FROM session_guard.trigger_state AS t WHERE (t.guard, t.relation) = (NEW.guard, NEW.relation)) THEN
            RETURN NULL;
        END IF;
    ELSIF TG_TABLE_NAME = 'timeline' THEN
        IF is_applied OR EXISTS (SELECT FROM session_guard.timeline AS t WHERE (t.cluster, t.timeline) = (NEW.cluster, NEW.timeline)) THEN
            RETURN NULL;
        END IF;
    ELSIF TG_TABLE_NAME = 'event' AND is_applied THEN
        -- The row that has the epoch may be another one here, so that its change is not replicated.
        CASE WHEN NEW.guard IS NOT NULL AND NEW.user_id IS NOT NULL THEN PERFORM session_guard.raise_user(NEW.guard, NEW.user_id, NEW.epoch, NEW.reason, NEW.at, false);
        WHEN NEW.guard IS NOT NULL THEN PERFORM session_guard.raise_guard(NEW.guard, NEW.epoch, NEW.reason, NEW.at);
        ELSE PERFORM session_guard.raise_token(NEW.scope, NEW.subject, NEW.epoch, NEW.reason, NEW.at);
        END CASE;
        NEW.id := nextval('session_guard.event_id_seq');
    ELSIF is_applied THEN
        -- What another cluster's policies and failures are says nothing of this one's.
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION session_guard.raise_user(of_guard text, key text, to_epoch timestamptz, why text, at timestamptz, related boolean) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO session_guard.epoch AS e (guard, user_id, epoch, reason, stamped_at, is_related) VALUES (of_guard, key, to_epoch, why, at, related)
    ON CONFLICT (user_id, guard, is_related) DO UPDATE SET epoch = EXCLUDED.epoch, reason = EXCLUDED.reason, stamped_at = EXCLUDED.stamped_at WHERE e.epoch < EXCLUDED.epoch;
END $$;

CREATE OR REPLACE FUNCTION session_guard.raise_guard(of_guard text, to_epoch timestamptz, why text, at timestamptz) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO session_guard.guard_epoch AS g (guard, epoch, reason, stamped_at) VALUES (of_guard, to_epoch, why, at)
    ON CONFLICT (guard) DO UPDATE SET epoch = EXCLUDED.epoch, reason = EXCLUDED.reason, stamped_at = EXCLUDED.stamped_at WHERE g.epoch < EXCLUDED.epoch;
END $$;

CREATE OR REPLACE FUNCTION session_guard.raise_token(of_scope text, of_subject text, to_epoch timestamptz, why text, at timestamptz) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO session_guard.token_epoch (scope, subject, epoch, reason, stamped_at) VALUES (of_scope, of_subject, to_epoch, why, at) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        UPDATE session_guard.token_epoch AS t SET epoch = to_epoch, reason = why, stamped_at = at
        WHERE t.scope = of_scope AND t.subject IS NOT DISTINCT FROM of_subject AND t.epoch < to_epoch;
    END IF;
END $$;

-- The statements that put that trigger on a table.
CREATE OR REPLACE FUNCTION session_guard.apply_trigger_sql(table_name name) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = format('session_guard.%I', table_name)::regclass AND t.tgname = 'session_guard_apply'
            AND t.tgfoid = 'session_guard.apply_replicated()'::regprocedure AND t.tgtype = 31) THEN '' ELSE format('CREATE OR REPLACE TRIGGER session_guard_apply BEFORE INSERT OR UPDATE OR DELETE ON session_guard.%1$I FOR EACH ROW '
        'WHEN (pg_catalog.current_setting(''search_path'') OPERATOR(pg_catalog.<>) ''pg_catalog, pg_temp'') EXECUTE FUNCTION session_guard.apply_replicated(); ', table_name) END
        || format('ALTER TABLE session_guard.%I ENABLE ALWAYS TRIGGER session_guard_apply;', table_name)
$$;

-- The tables whose rows are merged, and those of them of which that trigger is not in place.
CREATE OR REPLACE FUNCTION session_guard.tables_without_apply(all_of_them boolean) RETURNS SETOF name
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'session_guard'::regnamespace AND c.relkind = 'r' AND c.relname NOT IN ('pending', 'invalidation')
       AND (all_of_them OR NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = c.oid AND t.tgname = 'session_guard_apply' AND t.tgenabled = 'A'
            AND t.tgfoid = 'session_guard.apply_replicated()'::regprocedure AND t.tgtype = 31)) ORDER BY c.relname
$$;

DO $do$
DECLARE statement text;
BEGIN
    FOR statement IN SELECT session_guard.apply_trigger_sql(t.name) FROM session_guard.tables_without_apply(true) AS t (name) LOOP
        EXECUTE statement;
    END LOOP;
END $do$;

-- Administration: with the rights of who calls, the extension's owner.

-- Refuses to read a table as a superuser for a role that is none.
CREATE OR REPLACE FUNCTION session_guard.check_trust(relid oid) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE table_owner oid; name CONSTANT text := session_guard.shown(relid);
BEGIN
    SELECT c.relowner INTO table_owner FROM pg_class AS c WHERE c.oid = relid;
    IF NOT (session_guard.trusts(session_guard.owner(), table_owner)
            AND session_guard.trusts((SELECT r.oid FROM pg_roles AS r WHERE r.rolname = current_user), table_owner)) THEN
        RAISE EXCEPTION USING ERRCODE = '42501', MESSAGE = format('a superuser does not guard table %s of %I', name, pg_get_userbyid(table_owner)),
            DETAIL = 'To read the table runs code of its owner''s choosing, with the rights of a superuser.',
            HINT = 'Install this edition as the role that owns the users table, and attach the table as that role.';
    END IF;
    PERFORM session_guard.raise_failure(coalesce(session_guard.row_security_failure(relid, session_guard.owner()),
        session_guard.row_security_failure(relid, (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = current_user))));
END $$;

-- The owner's table, or one that the owner may read and put triggers on; and one whose owner may be trusted.
CREATE OR REPLACE FUNCTION session_guard.check_table(relid oid, kind text) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE table_owner oid; name CONSTANT text := session_guard.shown(relid);
BEGIN
    IF relid IS NULL THEN
        PERFORM session_guard.raise_failure(ARRAY['22004', 'the table must not be null', NULL, session_guard.attach_hint(NULL)]);
    ELSIF name IS NULL THEN
        PERFORM session_guard.raise_failure(session_guard.not_guarded_failure(relid));
    END IF;
    IF kind <> 'off' THEN
        PERFORM session_guard.raise_failure(CASE kind WHEN 'users' THEN session_guard.users_failure(relid) ELSE session_guard.table_failure(relid) END);
    END IF;
    SELECT c.relowner INTO table_owner FROM pg_class AS c WHERE c.oid = relid;
    IF NOT pg_has_role(table_owner, 'USAGE') AND (kind = 'off' OR NOT (has_table_privilege(relid, 'TRIGGER') AND has_table_privilege(relid, 'SELECT'))) THEN
        RAISE EXCEPTION USING ERRCODE = '42501', MESSAGE = format('must be owner of table %s', name),
            HINT = format('Become a role that may: SET ROLE %I;', pg_get_userbyid(table_owner));
    END IF;
    PERFORM session_guard.check_administration();
    IF kind = 'users' THEN
        PERFORM session_guard.check_trust(relid);
    END IF;
END $$;

-- What was last seen of a table here. A dump brings what was seen in another database, which tells nothing of this one.
CREATE OR REPLACE FUNCTION session_guard.recorded_state(of_guard text, of_relation text, relid oid) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT t.state FROM session_guard.trigger_state AS t WHERE t.guard = of_guard AND t.relation = of_relation AND split_part(t.state, ' ', 1) = relid::text
        AND t.cluster = (SELECT s.system_identifier FROM pg_control_system() AS s)
$$;

-- Under which name trigger_state keeps a watch. Its name is whatever a role calls its schema and table: not to be a store's.
CREATE OR REPLACE FUNCTION session_guard.watch_key(watch text) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT 'watch ' || watch
$$;

-- What was last seen of the triggers alone.
CREATE OR REPLACE FUNCTION session_guard.triggers_in(state text) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN state IS NOT NULL THEN coalesce(string_agg(p.part, ' ' ORDER BY p.n), '') END FROM regexp_split_to_table(split_part(state, '|', 1), ' ') WITH ORDINALITY AS p (part, n) WHERE p.part LIKE '%/%'
$$;

CREATE OR REPLACE FUNCTION session_guard.record_state(of_guard text, of_relation text, state text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO session_guard.trigger_state AS t (guard, relation, cluster, state)
    VALUES (of_guard, of_relation, (SELECT s.system_identifier FROM pg_control_system() AS s), state)
    ON CONFLICT (guard, relation) DO UPDATE SET cluster = EXCLUDED.cluster, state = EXCLUDED.state
    WHERE (t.cluster, t.state) IS DISTINCT FROM (EXCLUDED.cluster, EXCLUDED.state);
END $$;

CREATE OR REPLACE FUNCTION session_guard.drop_triggers(relid oid, function regprocedure) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE t record;
BEGIN
    FOR t IN SELECT g.tgname, g.tgrelid FROM pg_trigger AS g WHERE (g.tgrelid = relid OR g.tgrelid IN (SELECT session_guard.partitions(relid))) AND g.tgfoid = function AND g.tgparentid = 0 LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', t.tgname, session_guard.shown(t.tgrelid));
    END LOOP;
END $$;

-- Puts four triggers on a table that is locked, and makes sure that they are what is compared later.
CREATE OR REPLACE FUNCTION session_guard.create_triggers(relid oid, function regprocedure, prefix text, arguments text[], clause text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    kind text; name CONSTANT text := session_guard.shown(relid); problems text[]; taken text; partition oid; is_leaf boolean;
    may_be_always CONSTANT boolean := (SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_class AS c WHERE c.oid = relid);
    -- If it was installed as one: database.dev gives it a longer name.
    extension CONSTANT name := (SELECT e.extname FROM pg_extension AS e JOIN pg_depend AS d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
        WHERE d.classid = 'pg_proc'::regclass AND d.objid = function AND d.deptype = 'e');
BEGIN
    SELECT t.tgname INTO taken FROM pg_trigger AS t WHERE t.tgrelid = relid AND t.tgfoid <> function
      AND t.tgname = ANY (ARRAY[prefix || 'update', prefix || 'insert', prefix || 'delete', prefix || 'truncate']) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = '42710', MESSAGE = format('table %s has a trigger %I that is not the guard''s', name, taken),
            HINT = format('To give that trigger another name, run: ALTER TRIGGER %I ON %s RENAME TO %I;', taken, name, (
                SELECT f.name FROM (SELECT 'not_' || taken || CASE WHEN n > 1 THEN '_' || n ELSE '' END AS name, n FROM generate_series(1, 100) AS n) AS f
                WHERE NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = relid AND t.tgname = f.name) ORDER BY f.n LIMIT 1));
    END IF;
    PERFORM session_guard.drop_triggers(relid, function);
    FOREACH kind IN ARRAY ARRAY['update', 'insert', 'delete', 'truncate'] LOOP
        EXECUTE format('CREATE TRIGGER %I AFTER %s ON %s FOR EACH %s %s EXECUTE FUNCTION session_guard.%I(%s)', prefix || kind, kind, name,
            CASE kind WHEN 'truncate' THEN 'STATEMENT' ELSE 'ROW' END, CASE kind WHEN 'update' THEN format('WHEN (%s)', clause) ELSE '' END,
            (SELECT p.proname FROM pg_proc AS p WHERE p.oid = function),
            (SELECT string_agg(quote_literal(a.value), ', ' ORDER BY a.n) FROM unnest(arguments) WITH ORDINALITY AS a (value, n)));
        IF may_be_always THEN
            EXECUTE format('ALTER TABLE ONLY %s ENABLE ALWAYS TRIGGER %I', name, prefix || kind);
            IF extension IS NOT NULL THEN
                EXECUTE format('ALTER TRIGGER %I ON %s DEPENDS ON EXTENSION %I', prefix || kind, name, extension);
            END IF;
        END IF;
    END LOOP;
    -- PostgreSQL makes the triggers of partitions, but those for TRUNCATE.
    FOR partition, is_leaf IN SELECT c.oid, c.relkind <> 'p' FROM session_guard.partitions(relid) AS m (relid) JOIN pg_class AS c ON c.oid = m.relid LOOP
        IF is_leaf THEN
            EXECUTE format('CREATE TRIGGER %I AFTER TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION session_guard.%I(%s)', prefix || 'partition_truncate', session_guard.shown(partition),
                (SELECT p.proname FROM pg_proc AS p WHERE p.oid = function), (SELECT string_agg(quote_literal(a.value), ', ' ORDER BY a.n) FROM unnest(arguments) WITH ORDINALITY AS a (value, n)));
        END IF;
        IF may_be_always THEN
            FOREACH kind IN ARRAY ARRAY['update', 'insert', 'delete'] || CASE WHEN is_leaf THEN ARRAY['partition_truncate'] ELSE '{}' END LOOP
                EXECUTE format('ALTER TABLE ONLY %s ENABLE ALWAYS TRIGGER %I', session_guard.shown(partition), prefix || kind);
            END LOOP;
            IF extension IS NOT NULL AND is_leaf THEN
                EXECUTE format('ALTER TRIGGER %I ON %s DEPENDS ON EXTENSION %I', prefix || 'partition_truncate', session_guard.shown(partition), extension);
            END IF;
        END IF;
    END LOOP;
    IF partition IS NOT NULL THEN
        PERFORM session_guard.record_state(arguments[1], 'partitions', concat_ws(' ', relid, array_to_string(session_guard.partition_triggers(relid), ' ')));
    END IF;
    problems := session_guard.trigger_problems(relid, function, prefix, arguments, clause, may_be_always);
    IF problems <> '{}' THEN
        RAISE EXCEPTION USING ERRCODE = '55000', MESSAGE = format('the triggers of table %s are not as they were made: %s', name, array_to_string(problems, ', ')),
            HINT = 'The table may have been renamed meanwhile. Call the function again.';
    END IF;
END $$;

-- Whether an account is active at $1, as SQL.
CREATE OR REPLACE FUNCTION session_guard.active_sql(active_when text, of_type oid, ref text) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN session_guard.goes_by_time(active_when)
        THEN format('session_guard.is_active_at(%L, %s, $1)', active_when, session_guard.status_sql(active_when, of_type, ref))
        ELSE format('(%s)', session_guard.status_sql(active_when, of_type, ref)) END
$$;

-- Stamps the accounts that a condition holds for, all of them or those whose last stamp was not for being disabled.
CREATE OR REPLACE FUNCTION session_guard.stamp_accounts(of_guard text, relid oid, id_column name, condition text, every boolean) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    clock CONSTANT timestamptz := clock_timestamp(); stamped bigint;
    next CONSTANT timestamptz := session_guard.next_epoch(clock, session_guard.margin(), (SELECT e.epoch FROM session_guard.guard_epoch AS e WHERE e.guard = of_guard));
BEGIN
    PERFORM session_guard.check_trust(relid);
    EXECUTE format('WITH meant AS MATERIALIZED (SELECT DISTINCT session_guard.key_of(%1$I::pg_catalog.text) COLLATE pg_catalog."C" AS key FROM %2$s WHERE %1$I IS NOT NULL AND %3$s),
        stamped AS (
            INSERT INTO session_guard.epoch AS e (guard, user_id, epoch, reason, stamped_at)
            SELECT $2, m.key, $3, ''backfill'', $1 FROM meant AS m ORDER BY m.key
            ON CONFLICT (user_id, guard, is_related) DO UPDATE SET reason = EXCLUDED.reason, stamped_at = EXCLUDED.stamped_at,
                epoch = CASE WHEN e.epoch OPERATOR(pg_catalog.<) $3 THEN $3 ELSE session_guard.next_epoch($1, ''0'', e.epoch) END
            WHERE $4 OR e.reason OPERATOR(pg_catalog.<>) ALL (ARRAY[''disabled'', ''backfill''])
            RETURNING e.user_id, e.epoch)
        SELECT pg_catalog.count(*) FROM stamped AS s CROSS JOIN LATERAL session_guard.record_event($2, s.user_id, NULL, NULL, s.epoch, ''backfill'') AS r
            CROSS JOIN LATERAL session_guard.note_stored($2, s.user_id, true) AS n',
        id_column, session_guard.rows_of(relid), condition)
    INTO stamped USING clock, of_guard, next, every;
    RETURN stamped;
END $$;

-- The guard that a table is on, was on before it was detached, or takes over from a table of its name that is gone.
CREATE OR REPLACE FUNCTION session_guard.guard_of(relid oid) RETURNS session_guard.guard
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE g session_guard.guard; elsewhere oid;
BEGIN
    SELECT r.* INTO g FROM session_guard.guard AS r WHERE session_guard.locate(r) = relid;
    IF NOT FOUND THEN
        SELECT r.* INTO g FROM session_guard.guard AS r WHERE format('%I.%I', r.schema_name, r.table_name) = session_guard.shown(relid);
        elsewhere := CASE WHEN FOUND THEN session_guard.locate(g) END;
        IF elsewhere <> relid THEN
            PERFORM session_guard.raise_failure(ARRAY['55000', 'the guard of this name is on another table', format('Table %s was renamed to %s.', session_guard.shown(relid),
                session_guard.shown(elsewhere)), (session_guard.replaced_failure(g, elsewhere))[4]]);
        END IF;
    END IF;
    -- The one that a table had before it became a partition of this one, if just one had: its epochs are of ids that this one has.
    IF g.name IS NULL THEN
        SELECT ((array_agg(o))[1]).* INTO g FROM session_guard.guards_of_partitions(guard_of.relid) AS o HAVING count(*) = 1;
    END IF;
    RETURN g;
END $$;

-- Those that tables had before they became partitions of this one.
CREATE OR REPLACE FUNCTION session_guard.guards_of_partitions(relid oid) RETURNS SETOF session_guard.guard
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT g.* FROM session_guard.guard AS g
    WHERE g.detached_at IS NOT NULL AND session_guard.locate(g) IN (SELECT p.relid FROM session_guard.partitions(guards_of_partitions.relid) AS p (relid))
$$;

CREATE OR REPLACE FUNCTION session_guard.each_once(names name[]) RETURNS name[]
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN names IS NOT NULL THEN ARRAY(SELECT o.name FROM (SELECT u.name, min(u.n) AS n FROM unnest(names) WITH ORDINALITY AS u (name, n)
        WHERE u.name IS NOT NULL GROUP BY u.name) AS o ORDER BY o.n) END
$$;

CREATE OR REPLACE FUNCTION session_guard.attach_as(users regclass, id_column name, active_column name, active_when text, revoke_on name[], max_session_age interval, is_default boolean) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
<<this>>
DECLARE
    stamp CONSTANT regprocedure := 'session_guard.stamp()';
    known session_guard.guard; wanted session_guard.guard; opened record; name text; id_type oid; status_type oid; old_type oid; nobody_is_active boolean;
    late oid[]; partition oid; was_armed boolean; is_as_wanted boolean; was_here boolean; state text; recorded text; stamped bigint; column_name name; unknown text;
    number integer := 2; guard_name text; plain_name text; clause text; may_be_always boolean; default_table text;
BEGIN
    PERFORM session_guard.check_read_committed('attach()');
    PERFORM session_guard.check_table(users, 'users');
    -- Who changes guards takes this lock before those on users tables.
    LOCK TABLE session_guard.guard IN SHARE ROW EXCLUSIVE MODE;
    IF session_guard.seconds(max_session_age) < 0 THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'max_session_age must not be negative',
            HINT = 'Give an interval such as ''12 hours'', or ''0'' for sessions without end.';
    END IF;
    name := session_guard.shown(users);
    known := session_guard.guard_of(users);
    IF known.name IS NOT NULL THEN
        known := session_guard.with_current_names(known, users);
    END IF;
    was_here := session_guard.served(users, stamp) IS NOT NULL;
    -- A guard is named by its table, with a number if another has that name.
    SELECT coalesce(known.name, format('%s.%s', n.nspname, c.relname)), pg_has_role(c.relowner, 'USAGE') INTO guard_name, may_be_always
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = users;
    plain_name := guard_name;
    WHILE known.name IS NULL AND EXISTS (SELECT FROM session_guard.guard AS r WHERE r.name = guard_name) LOOP
        guard_name := format('%s (%s)', plain_name, number);
        number := number + 1;
    END LOOP;
    -- What is not told stays as it is.
    SELECT guard_name, n.nspname, c.relname, pg_get_userbyid(c.relowner), coalesce(attach_as.id_column, known.id_column, 'id'), coalesce(attach_as.active_column, known.active_column, 'active'),
        coalesce(session_guard.form_of(attach_as.active_when), attach_as.active_when, session_guard.form_of(known.active_when), known.active_when, 'true'),
        session_guard.each_once(coalesce(attach_as.revoke_on, known.revoke_on, '{}')),
        CASE WHEN session_guard.seconds(coalesce(attach_as.max_session_age, known.max_session_age)) BETWEEN 0.000001 AND 3153600000000 - 1
            THEN make_interval(secs => session_guard.seconds(coalesce(attach_as.max_session_age, known.max_session_age))::double precision) END,
        coalesce(attach_as.is_default, CASE
            WHEN known.is_default AND NOT EXISTS (SELECT FROM session_guard.guard AS r WHERE r.name <> guard_name AND r.detached_at IS NULL AND r.is_default) THEN true
            WHEN known.name IS NOT NULL AND known.detached_at IS NULL THEN false
            ELSE NOT EXISTS (SELECT FROM session_guard.guard AS r WHERE r.name <> guard_name AND r.detached_at IS NULL) END)
    INTO wanted FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = users;
    PERFORM session_guard.raise_failure(coalesce(session_guard.id_column_failure(users, wanted.id_column),
        session_guard.status_column_failure(users, wanted.active_column, wanted.active_when)));
    SELECT a.atttypid INTO id_type FROM pg_attribute AS a WHERE a.attrelid = users AND a.attname = wanted.id_column;
    SELECT a.atttypid INTO status_type FROM pg_attribute AS a WHERE a.attrelid = users AND a.attname = wanted.active_column;
    unknown := (session_guard.unknown_values(wanted.active_when, status_type))[1];
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = format('%s is no value of column %I of table %s', unknown, wanted.active_column, name),
            DETAIL = format('The column is of type %s.', format_type(status_type, NULL)),
            HINT = 'List values that the column can have.' || CASE WHEN EXISTS (SELECT FROM pg_enum AS e WHERE e.enumtypid = session_guard.base_type(status_type))
                THEN format(' Those of its type are listed by: SELECT pg_catalog.enum_range(NULL::%s);', session_guard.base_type(status_type)::regtype) ELSE '' END;
    END IF;
    FOREACH column_name IN ARRAY wanted.revoke_on LOOP
        IF NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = users AND a.attname = column_name AND a.attnum > 0 AND NOT a.attisdropped) THEN
            PERFORM session_guard.raise_failure(ARRAY['42703', format('table %s has no column %I', name, column_name), NULL, session_guard.other_column_hint(users)]);
        ELSIF EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = users AND a.attname = column_name AND a.attgenerated = 'v') THEN
            PERFORM session_guard.raise_failure(ARRAY['0A000', format('column %I of table %s is a virtual generated column', column_name, name),
                'Its changes are changes of the columns that it is made of.', session_guard.other_column_hint(users)]);
        END IF;
    END LOOP;
    PERFORM session_guard.check_unique(users, wanted.id_column);
    PERFORM session_guard.raise_failure(session_guard.partition_key_failure(users, wanted.id_column));
    IF known.detached_at IS NULL AND known.id_column <> wanted.id_column
       AND EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = users AND a.attname = known.id_column AND NOT a.attisdropped) THEN
        RAISE EXCEPTION USING ERRCODE = '42710', MESSAGE = format('table %s is guarded already, by its column %I', name, known.id_column),
            DETAIL = 'Its epochs are kept by that column''s values.',
            HINT = format('To go by the other column from now on, run: SELECT session_guard.detach(%1$L), session_guard.attach(%1$L, id_column => %2$L);', name, wanted.id_column);
    END IF;
    clause := session_guard.when_clause(users, wanted.id_column, id_type, wanted.active_column, wanted.active_when, wanted.revoke_on);

    -- Between the triggers and the backfill no change must slip through. Triggers can only be dropped under the strongest
    -- lock, which is taken at once where some must be. Who does not own the table may not lock it: CREATE TRIGGER does.
    is_as_wanted := session_guard.trigger_problems(users, stamp, 'session_guard_', ARRAY[wanted.name, wanted.active_when], clause, may_be_always) = '{}';
    IF may_be_always THEN
        EXECUTE format('LOCK TABLE %s IN %s MODE', session_guard.rows_of(users), CASE WHEN is_as_wanted OR NOT was_here THEN 'SHARE ROW EXCLUSIVE' ELSE 'ACCESS EXCLUSIVE' END);
    END IF;
    is_as_wanted := session_guard.trigger_problems(users, stamp, 'session_guard_', ARRAY[wanted.name, wanted.active_when], clause, may_be_always) = '{}';
    opened := session_guard.open_guard(users);
    late := session_guard.late_partitions(wanted.name, users);
    -- Partitions that were attached since are a problem, too, and all that is in them is stamped.
    was_armed := opened.failure IS NULL AND cardinality(opened.problems) = cardinality(late) OR is_as_wanted AND known.name IS NOT NULL AND known.detached_at IS NULL;
    recorded := session_guard.recorded_state(wanted.name, '', users);
    state := session_guard.state_of(users, stamp, ARRAY[wanted.id_column, wanted.active_column] || wanted.revoke_on);
    IF known.name IS NOT NULL AND (NOT was_armed OR late <> '{}' OR session_guard.triggers_in(recorded) <> session_guard.triggers_in(state) OR session_guard.has_lost_partitions(wanted.name, users)) THEN
        INSERT INTO session_guard.unwatched VALUES (wanted.name, clock_timestamp(), 'the triggers were not all in place');
    ELSIF known.name IS NULL AND EXISTS (SELECT FROM session_guard.guards_of_partitions(users)) THEN
        INSERT INTO session_guard.unwatched VALUES (wanted.name, clock_timestamp(), 'its partitions had guards of their own');
    END IF;

    IF wanted.is_default THEN
        UPDATE session_guard.guard AS r SET is_default = false WHERE r.is_default AND r.name <> wanted.name;
    END IF;
    INSERT INTO session_guard.guard AS r (name, schema_name, table_name, table_owner, id_column, active_column, active_when, revoke_on, max_session_age, is_default)
    VALUES (wanted.name, wanted.schema_name, wanted.table_name, wanted.table_owner, wanted.id_column, wanted.active_column, wanted.active_when, wanted.revoke_on,
            wanted.max_session_age, wanted.is_default)
    ON CONFLICT ON CONSTRAINT guard_pkey DO UPDATE SET schema_name = EXCLUDED.schema_name, table_name = EXCLUDED.table_name, table_owner = EXCLUDED.table_owner,
        id_column = EXCLUDED.id_column, active_column = EXCLUDED.active_column, active_when = EXCLUDED.active_when, revoke_on = EXCLUDED.revoke_on,
        max_session_age = EXCLUDED.max_session_age, is_default = EXCLUDED.is_default, detached_at = NULL;
    IF NOT is_as_wanted THEN
        PERFORM session_guard.create_triggers(users, stamp, 'session_guard_', ARRAY[wanted.name, wanted.active_when], clause);
    END IF;
    PERFORM session_guard.record_state(wanted.name, '', concat_ws('|', session_guard.state_of(users, stamp, ARRAY[wanted.id_column, wanted.active_column] || wanted.revoke_on),
        name, wanted.table_owner, wanted.active_when));
    IF EXISTS (SELECT FROM session_guard.partitions(users)) THEN
        PERFORM session_guard.record_state(wanted.name, 'partitions', concat_ws(' ', users::oid, array_to_string(session_guard.partition_triggers(users), ' ')));
    END IF;
    IF may_be_always AND wanted.table_owner <> pg_get_userbyid(session_guard.owner()) THEN
        -- To restore a dump of the table makes the triggers again.
        EXECUTE format('GRANT USAGE ON SCHEMA session_guard TO %I', wanted.table_owner);
    END IF;

    -- Keys that a column of another type writes otherwise.
    INSERT INTO session_guard.epoch AS e (guard, user_id, epoch, reason, stamped_at, is_related)
    SELECT o.guard, session_guard.id_in(o.user_id, id_type), max(o.epoch), min(o.reason), max(o.stamped_at), o.is_related FROM session_guard.epoch AS o
    WHERE o.guard = wanted.name AND session_guard.id_in(o.user_id, id_type) <> o.user_id AND NOT session_guard.is_digest(o.user_id)
    GROUP BY o.guard, session_guard.id_in(o.user_id, id_type), o.is_related
    ON CONFLICT ON CONSTRAINT epoch_pkey DO UPDATE SET epoch = greatest(e.epoch, EXCLUDED.epoch);

    stamped := session_guard.stamp_accounts(wanted.name, users, wanted.id_column,
        format('NOT %s', session_guard.active_sql(wanted.active_when, status_type, quote_ident(wanted.active_column))), NOT was_armed);
    FOREACH partition IN ARRAY late LOOP
        stamped := stamped + session_guard.stamp_accounts(wanted.name, partition, wanted.id_column, format('(%s)', session_guard.active_sql(wanted.active_when, status_type, quote_ident(wanted.active_column))), true);
    END LOOP;
    IF (known.active_column, known.active_when) IS DISTINCT FROM (wanted.active_column, wanted.active_when) THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM %1$s) AND NOT EXISTS (SELECT FROM %1$s WHERE %2$s)', session_guard.rows_of(users),
            session_guard.active_sql(wanted.active_when, status_type, quote_ident(wanted.active_column))) INTO nobody_is_active USING clock_timestamp();
        IF nobody_is_active THEN
            -- The column may say the opposite of what it was taken for.
            RAISE WARNING USING MESSAGE = format('no account of table %s is active by its column %I', name, wanted.active_column),
                DETAIL = format('With active_when => %L, that column says that nobody can log in.', wanted.active_when),
                HINT = 'If that is not so, call attach() again with the right active_when: ''false'' for a column that says who is locked out, ''null'' for a time of deletion.';
        END IF;
    END IF;
    SELECT a.atttypid INTO old_type FROM pg_attribute AS a WHERE a.attrelid = users AND a.attname = known.active_column AND a.attnum > 0 AND NOT a.attisdropped;
    IF (known.active_column, known.active_when) IS DISTINCT FROM (wanted.active_column, wanted.active_when) AND old_type IS NOT NULL
       AND session_guard.status_column_failure(users, known.active_column, known.active_when) IS NULL THEN
        -- Who was not active by the old reading, and is by the new one.
        stamped := stamped + session_guard.stamp_accounts(wanted.name, users, wanted.id_column,
            format('%s AND (NOT %s%s)', session_guard.active_sql(wanted.active_when, status_type, quote_ident(wanted.active_column)),
                session_guard.active_sql(known.active_when, old_type, quote_ident(known.active_column)),
                CASE WHEN known.active_when = 'past' THEN format(' OR coalesce(%s OPERATOR(pg_catalog.>) ''-infinity''::pg_catalog.timestamptz, false)',
                    session_guard.status_sql(known.active_when, old_type, quote_ident(known.active_column))) ELSE '' END), true);
    END IF;

    IF known.name IS NOT NULL AND (known.detached_at IS NOT NULL OR NOT was_here) THEN
        RAISE NOTICE 'guard % goes on with the columns %', wanted.name,
            (SELECT string_agg(quote_ident(u.column_name), ', ' ORDER BY u.n) FROM unnest(ARRAY[wanted.id_column, wanted.active_column] || wanted.revoke_on) WITH ORDINALITY AS u (column_name, n));
    ELSIF known.name IS NULL THEN
        SELECT format('%I.%I', r.schema_name, r.table_name) INTO default_table FROM session_guard.guard AS r WHERE r.is_default AND r.detached_at IS NULL AND r.name <> wanted.name;
        IF FOUND THEN
            RAISE NOTICE 'calls that name no table still mean %', default_table;
        END IF;
    END IF;
    PERFORM session_guard.repair_watches(wanted.name);
    PERFORM session_guard.repair_stores(wanted.name);
    PERFORM session_guard.write_functions();
    RETURN stamped;
END $$;

CREATE OR REPLACE FUNCTION session_guard.attach(users regclass, id_column name DEFAULT NULL, active_column name DEFAULT NULL,
    active_when text DEFAULT NULL, revoke_on name[] DEFAULT NULL, max_session_age interval DEFAULT NULL, is_default boolean DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM session_guard.check_writable('attach()');
    -- Variables have the collation that a call has given to its arguments.
    RETURN session_guard.attach_as(users, id_column, active_column, active_when COLLATE "default", revoke_on, max_session_age, is_default);
END $$;

CREATE OR REPLACE FUNCTION session_guard.detach(users regclass, forget boolean DEFAULT false) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE stamp CONSTANT regprocedure := 'session_guard.stamp()'; g session_guard.guard; w session_guard.watch; opened record;
BEGIN
    PERFORM session_guard.check_writable('detach()');
    PERFORM session_guard.check_read_committed('detach()');
    PERFORM session_guard.check_table(users, 'off');
    LOCK TABLE session_guard.guard IN SHARE ROW EXCLUSIVE MODE;
    g := session_guard.guard_of(users);
    IF (g.name IS NULL OR g.detached_at IS NOT NULL) AND session_guard.served(users, stamp) IS NULL AND NOT (forget AND g.name IS NOT NULL) THEN
        PERFORM session_guard.raise_failure(ARRAY['42704', format('table %s is not guarded', session_guard.shown(users)), NULL,
            'The guarded tables are listed by: SELECT name, schema_name, table_name FROM session_guard.guard WHERE detached_at IS NULL;']);
    END IF;
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', session_guard.rows_of(users));
    FOR w IN SELECT r.* FROM session_guard.watch AS r WHERE r.guard = g.name LOOP
        PERFORM session_guard.take_watch_off(w);
    END LOOP;
    opened := session_guard.open_guard(users);
    IF opened.failure IS NULL AND NOT forget AND session_guard.goes_by_time(g.active_when) THEN
        -- What the clock alone has ended: without the guard, nobody looks at it.
        PERFORM session_guard.stamp_accounts(g.name, users, g.id_column, format('NOT coalesce(%s OPERATOR(pg_catalog.%s) ''%sinfinity''::pg_catalog.timestamptz, true)%s',
            session_guard.status_sql(g.active_when, opened.status_type, quote_ident(g.active_column)), '=', CASE g.active_when WHEN 'past' THEN '-' ELSE '' END,
            CASE g.active_when WHEN 'future' THEN ' AND NOT ' || session_guard.active_sql(g.active_when, opened.status_type, quote_ident(g.active_column)) ELSE '' END), false);
    END IF;
    PERFORM session_guard.drop_triggers(users, stamp);
    IF forget THEN
        DELETE FROM session_guard.epoch AS e WHERE e.guard = g.name;
        DELETE FROM session_guard.guard_epoch AS e WHERE e.guard = g.name;
        DELETE FROM session_guard.watch AS r WHERE r.guard = g.name;
        DELETE FROM session_guard.store AS r WHERE r.guard = g.name;
        DELETE FROM session_guard.store_failure AS f WHERE f.guard = g.name;
        DELETE FROM session_guard.unwatched AS u WHERE u.guard = g.name;
        DELETE FROM session_guard.trigger_state AS t WHERE t.guard = g.name;
        DELETE FROM session_guard.guard AS r WHERE r.name = g.name;
    ELSE
        g := CASE WHEN g.name IS NOT NULL THEN session_guard.with_current_names(g, users) END;
        UPDATE session_guard.guard AS r SET detached_at = clock_timestamp(), id_column = g.id_column, active_column = g.active_column,
            revoke_on = g.revoke_on, (schema_name, table_name) = (
            -- What was renamed is known by its new name, unless another table has the old one: the guard may be on its way there.
            SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
            WHERE c.oid = coalesce(to_regclass(format('%I.%I', r.schema_name, r.table_name)), users))
        WHERE r.name = g.name;
    END IF;
    PERFORM session_guard.write_functions();
    IF g.is_default AND g.detached_at IS NULL AND EXISTS (SELECT FROM session_guard.guard AS r WHERE r.detached_at IS NULL) THEN
        RAISE NOTICE 'calls that name no table are refused until there is a default guard again';
    END IF;
END $$;

-- Re-arms a guard, or all, and stamps the accounts that were disabled while they were not armed.
CREATE OR REPLACE FUNCTION session_guard.reconcile(users regclass DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE g session_guard.guard; relid oid; stamped bigint := 0; opened record; failure text[]; state text; message text; detail text; hint text;
BEGIN
    PERFORM session_guard.check_writable('reconcile()');
    IF users IS NOT NULL THEN
        opened := session_guard.open_guard(users);
        PERFORM session_guard.raise_failure(opened.failure);
        RETURN session_guard.attach((opened.relid)::regclass);
    END IF;
    FOR g IN SELECT r.* FROM session_guard.guard AS r WHERE r.detached_at IS NULL ORDER BY r.name LOOP
        -- One that cannot be repaired does not keep the others from it.
        BEGIN
            relid := session_guard.locate(g);
            failure := CASE WHEN relid IS NULL THEN session_guard.gone_failure(g) ELSE (session_guard.open_guard(relid)).failure END;
            PERFORM session_guard.raise_failure(failure);
            stamped := stamped + session_guard.attach(relid::regclass);
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
            IF detail = '' THEN
                RAISE WARNING USING ERRCODE = state, MESSAGE = message, HINT = hint;
            ELSE
                RAISE WARNING USING ERRCODE = state, MESSAGE = message, DETAIL = detail, HINT = hint;
            END IF;
        END;
    END LOOP;
    RETURN stamped;
END $$;

-- Watched tables.

-- Called by the triggers of a watched table: notes whom to stamp at COMMIT.
CREATE OR REPLACE FUNCTION session_guard.stamp_related_template() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE w session_guard.watch; failure text[]; guard_name text; users text[]; key text;
BEGIN
    -- BRANCHES
    IF guard_name IS NULL THEN
        SELECT r.* INTO w FROM session_guard.watch AS r JOIN session_guard.guard AS g ON g.name = r.guard AND g.detached_at IS NULL
        WHERE r.guard = TG_ARGV[0] AND r.name = TG_ARGV[1];
        IF NOT FOUND THEN
            IF TG_OP <> 'INSERT' OR EXISTS (SELECT FROM session_guard.guard AS g WHERE g.name = TG_ARGV[0]) THEN
                PERFORM session_guard.note_broken(TG_RELID, TG_ARGV[0], ARRAY['42704', format('table %s is not watched', session_guard.shown(TG_RELID)), NULL,
                    'The watched tables are listed by: SELECT schema_name, table_name FROM session_guard.watch;']);
            END IF;
            RETURN NULL;
        END IF;
        guard_name := w.guard;
        IF TG_OP <> 'TRUNCATE' THEN
            w := session_guard.watch_with_current_names(w, TG_RELID);
            failure := session_guard.id_column_failure(TG_RELID, w.user_id_column);
            IF failure IS NOT NULL THEN
                PERFORM session_guard.note_broken(TG_RELID, guard_name, failure);
                RETURN NULL;
            END IF;
            EXECUTE format('SELECT ARRAY[%s]', concat_ws(', ', CASE WHEN TG_OP <> 'INSERT' THEN format('($1).%I::pg_catalog.text', w.user_id_column) END,
                CASE WHEN TG_OP <> 'DELETE' THEN format('($2).%I::pg_catalog.text', w.user_id_column) END)) INTO users USING OLD, NEW;
        END IF;
    END IF;
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO session_guard.pending (guard, related) VALUES (guard_name, TG_TABLE_NAME);
        RETURN NULL;
    END IF;
    FOREACH key IN ARRAY users LOOP
        key := session_guard.key_of(key);
        IF key IS NOT NULL AND NOT EXISTS (SELECT FROM session_guard.pending AS p WHERE p.transaction_id = pg_current_xact_id() AND p.guard = guard_name
            AND p.user_id = key AND p.related IS NOT NULL) THEN
            INSERT INTO session_guard.pending (guard, user_id, related) VALUES (guard_name, key, TG_TABLE_NAME);
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

-- The row with the names that its columns have now.
CREATE OR REPLACE FUNCTION session_guard.watch_with_current_names(w session_guard.watch, relid oid) RETURNS session_guard.watch
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE names name[]; numbers smallint[];
BEGIN
    SELECT ARRAY(SELECT split_part(p.part, ':', 1)::smallint FROM regexp_split_to_table(t.state, ' ') WITH ORDINALITY AS p (part, n) WHERE p.part ~ '^[0-9]+:[0-9]+$' ORDER BY p.n) INTO numbers
    FROM session_guard.trigger_state AS t WHERE t.guard = w.guard AND t.relation = session_guard.watch_key(w.name) AND split_part(t.state, ' ', 1) = relid::text;
    names := ARRAY(SELECT coalesce(a.attname, u.name) FROM unnest(ARRAY[w.user_id_column] || w.columns) WITH ORDINALITY AS u (name, n)
        LEFT JOIN pg_attribute AS a ON a.attrelid = relid AND a.attnum = numbers[u.n] AND NOT a.attisdropped ORDER BY u.n);
    SELECT w.guard, w.name, w.schema_name, w.table_name, w.table_owner, names[1], CASE WHEN w.columns IS NOT NULL THEN names[2:] END INTO w;
    RETURN w;
END $$;

CREATE OR REPLACE FUNCTION session_guard.watch_clause(relid oid, w session_guard.watch) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT session_guard.when_clause(relid, w.user_id_column, (SELECT a.atttypid FROM pg_attribute AS a WHERE a.attrelid = relid AND a.attname = w.user_id_column), NULL, NULL, w.columns)
$$;

CREATE OR REPLACE FUNCTION session_guard.locate_watch(w session_guard.watch) RETURNS oid
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN coalesce((SELECT t.tgrelid FROM pg_trigger AS t WHERE t.tgfoid = 'session_guard.stamp_related()'::regprocedure
            AND t.tgargs = convert_to(w.guard, getdatabaseencoding()) || E'\\x00'::bytea || convert_to(w.name, getdatabaseencoding()) || E'\\x00'::bytea ORDER BY t.oid LIMIT 1),
        (SELECT c.oid FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = w.schema_name AND c.relname = w.table_name AND c.relkind IN ('r', 'p', 'f')));
END $$;

CREATE OR REPLACE FUNCTION session_guard.watch_call(related text, w session_guard.watch, users text) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('session_guard.watch(%L, %L%s, users => %L)', related, w.user_id_column, CASE WHEN w.columns IS NOT NULL THEN format(', ARRAY[%s]::pg_catalog.name[]',
        (SELECT string_agg(quote_literal(u.name), ', ' ORDER BY u.n) FROM unnest(w.columns) WITH ORDINALITY AS u (name, n))) END, users)
$$;

-- Where a watched table was renamed, and one of its owner's that nobody watches has the recorded name: which of both is meant, only
-- the user knows. The last is what moves the watch.
CREATE OR REPLACE FUNCTION session_guard.watch_replaced_failure(w session_guard.watch, relid oid) RETURNS text[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT ARRAY['55000', format('watched table %s has been renamed to %s, and another has its name', s.old_name, s.new_name), NULL,
        format('If the watch is to stay where it is, call session_guard.watch(%L, ...). To move it to the table that has the name now, run: ', s.new_name) || s.statement, s.statement]
    FROM pg_class AS c JOIN pg_class AS o ON o.relname = w.table_name AND o.relkind IN ('r', 'p', 'f') AND o.oid <> c.oid
    JOIN pg_namespace AS n ON n.oid = o.relnamespace AND n.nspname = w.schema_name
    JOIN session_guard.guard AS g ON g.name = w.guard
    CROSS JOIN LATERAL (SELECT format('%I.%I', w.schema_name, w.table_name) AS old_name, session_guard.shown(c.oid) AS new_name) AS b
    CROSS JOIN LATERAL (SELECT b.old_name, b.new_name, format('SELECT session_guard.unwatch(%L), %s;', b.new_name,
        session_guard.watch_call(b.old_name, w, session_guard.shown(session_guard.locate(g)))) AS statement) AS s
    WHERE c.oid = relid AND o.relowner = c.relowner AND session_guard.served(o.oid, 'session_guard.stamp_related()') IS NULL);
END $$;

-- Why the columns of a watch cannot be compared, NULL if they can.
CREATE OR REPLACE FUNCTION session_guard.watch_failure(relid oid, w session_guard.watch) RETURNS text[]
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(session_guard.table_failure(relid), session_guard.id_column_failure(relid, w.user_id_column), (
        SELECT ARRAY['42703', format('table %s has no column %I', session_guard.shown(relid), u.name), NULL, session_guard.other_column_hint(relid)]
        FROM unnest(w.columns) WITH ORDINALITY AS u (name, n)
        WHERE NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = relid AND a.attname = u.name AND a.attnum > 0 AND NOT a.attisdropped) ORDER BY u.n LIMIT 1))
$$;

-- Why the triggers of a watch are not in place.
CREATE OR REPLACE FUNCTION session_guard.watch_problems(relid oid, w session_guard.watch) RETURNS text[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN session_guard.trigger_problems(relid, 'session_guard.stamp_related()', 'session_guard_related_', ARRAY[w.guard, w.name], session_guard.watch_clause(relid, w),
        (SELECT pg_has_role(session_guard.owner(), c.relowner, 'USAGE') FROM pg_class AS c WHERE c.oid = relid));
END $$;

CREATE OR REPLACE FUNCTION session_guard.put_watch(relid oid, w session_guard.watch) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', session_guard.shown(relid));
    INSERT INTO session_guard.watch AS r VALUES (w.*) ON CONFLICT (schema_name, table_name) DO UPDATE SET guard = EXCLUDED.guard, name = EXCLUDED.name,
        table_owner = EXCLUDED.table_owner, user_id_column = EXCLUDED.user_id_column, columns = EXCLUDED.columns;
    PERFORM session_guard.create_triggers(relid, 'session_guard.stamp_related()', 'session_guard_related_', ARRAY[w.guard, w.name], session_guard.watch_clause(relid, w));
    PERFORM session_guard.record_state(w.guard, session_guard.watch_key(w.name), session_guard.state_of(relid, 'session_guard.stamp_related()', ARRAY[w.user_id_column] || w.columns));
END $$;

-- Notes that changes may have gone unstamped if a trigger of the watch is missing, or was; returns whether none is.
CREATE OR REPLACE FUNCTION session_guard.note_unwatched(relid oid, w session_guard.watch) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE recorded text;
BEGIN
    recorded := session_guard.recorded_state(w.guard, session_guard.watch_key(w.name), relid);
    IF session_guard.watch_failure(relid, w) IS NULL AND session_guard.watch_problems(relid, w) = '{}' AND (recorded IS NULL
       OR session_guard.triggers_in(recorded) = session_guard.triggers_in(session_guard.state_of(relid, 'session_guard.stamp_related()', '{}'))) THEN
        RETURN true;
    END IF;
    INSERT INTO session_guard.unwatched VALUES (w.guard, clock_timestamp(), format('the triggers of %s.%s were not all in place', w.schema_name, w.table_name));
    RETURN false;
END $$;

CREATE OR REPLACE FUNCTION session_guard.watch(related regclass, user_id_column name, columns name[] DEFAULT NULL, users regclass DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE opened record; w session_guard.watch; known session_guard.watch; number integer := 2; plain text; watch_name text;
BEGIN
    PERFORM session_guard.check_writable('watch()');
    IF related IS NULL THEN
        PERFORM session_guard.check_table(NULL, 'related');
    END IF;
    opened := session_guard.open_guard(users);
    PERFORM session_guard.raise_failure(opened.failure);
    PERFORM session_guard.check_table(related, 'related');
    IF opened.relid = related THEN
        RAISE EXCEPTION USING ERRCODE = '0A000', MESSAGE = format('table %s is the users table itself', session_guard.shown(related)),
            HINT = format('To have a change of its columns end sessions, name them in revoke_on, for example: SELECT session_guard.attach(%L, revoke_on => ''{password}'');', session_guard.shown(related));
    END IF;
    LOCK TABLE session_guard.guard IN SHARE ROW EXCLUSIVE MODE;
    -- Where two tables have exchanged their names, the row of this name is the other's.
    PERFORM session_guard.repair_watches(r.guard) FROM session_guard.watch AS r JOIN pg_namespace AS n ON n.nspname = r.schema_name
    JOIN pg_class AS c ON (c.relnamespace, c.relname) = (n.oid, r.table_name) WHERE c.oid = related AND session_guard.locate_watch(r) <> related
        AND session_guard.watch_replaced_failure(r, session_guard.locate_watch(r)) IS NULL;
    SELECT r.* INTO known FROM session_guard.watch AS r WHERE session_guard.locate_watch(r) = related;
    IF NOT FOUND THEN
        PERFORM session_guard.raise_failure(session_guard.watch_replaced_failure(r, session_guard.locate_watch(r)))
        FROM session_guard.watch AS r WHERE format('%I.%I', r.schema_name, r.table_name) = session_guard.shown(related);
    END IF;
    IF known.guard <> (opened.g).name AND EXISTS (SELECT FROM session_guard.guard AS g WHERE g.name = known.guard) THEN
        RAISE EXCEPTION USING ERRCODE = '42710', MESSAGE = format('table %s is watched for the guard %s already', session_guard.shown(related), known.guard),
            HINT = format('To have it end no sessions of that guard any more, run: SELECT session_guard.unwatch(%L);', session_guard.shown(related));
    END IF;
    SELECT coalesce(known.name, format('%s.%s', n.nspname, c.relname)) INTO watch_name FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = related;
    plain := watch_name;
    WHILE known.name IS NULL AND EXISTS (SELECT FROM session_guard.watch AS r WHERE r.name = watch_name) LOOP
        watch_name := format('%s (%s)', plain, number);
        number := number + 1;
    END LOOP;
    SELECT (opened.g).name, watch_name, n.nspname, c.relname, pg_get_userbyid(c.relowner), coalesce(watch.user_id_column, ''), session_guard.each_once(watch.columns) INTO w
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = related;
    PERFORM session_guard.raise_failure(session_guard.watch_failure(related, w));
    IF known.name IS NOT NULL THEN
        PERFORM session_guard.note_unwatched(related, session_guard.watch_with_current_names(known, related));
        DELETE FROM session_guard.watch AS r WHERE (r.schema_name, r.table_name) = (known.schema_name, known.table_name);
    END IF;
    PERFORM session_guard.put_watch(related, w);
    PERFORM session_guard.write_functions();
END $$;

CREATE OR REPLACE FUNCTION session_guard.unwatch(related regclass) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE function CONSTANT regprocedure := 'session_guard.stamp_related()'; is_known boolean;
BEGIN
    PERFORM session_guard.check_writable('unwatch()');
    PERFORM session_guard.check_table(related, 'off');
    LOCK TABLE session_guard.guard IN SHARE ROW EXCLUSIVE MODE;
    SELECT EXISTS (SELECT FROM session_guard.watch AS r WHERE session_guard.locate_watch(r) = related) INTO is_known;
    IF NOT is_known AND session_guard.served(related, function) IS NULL THEN
        PERFORM session_guard.raise_failure(ARRAY['42704', format('table %s is not watched', session_guard.shown(related)), NULL,
            'The watched tables are listed by: SELECT schema_name, table_name FROM session_guard.watch;']);
    END IF;
    EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', session_guard.shown(related));
    INSERT INTO session_guard.unwatched SELECT r.guard, clock_timestamp(), format('another table than %s had its name', session_guard.shown(related))
    FROM session_guard.watch AS r WHERE session_guard.locate_watch(r) = related AND session_guard.watch_replaced_failure(r, related) IS NOT NULL;
    DELETE FROM session_guard.watch AS r WHERE session_guard.locate_watch(r) = related;
    PERFORM session_guard.drop_triggers(related, function);
    PERFORM session_guard.write_functions();
END $$;

-- Takes the triggers of a watch off; its row stays for the next attach, which finds the table by its name: that of now, unless another
-- has taken the recorded one, since the watch may be on its way there.
CREATE OR REPLACE FUNCTION session_guard.take_watch_off(w session_guard.watch) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    relid CONSTANT oid := session_guard.locate_watch(w);
    is_replaced CONSTANT boolean := session_guard.watch_replaced_failure(w, relid) IS NOT NULL;
BEGIN
    IF session_guard.served(relid, 'session_guard.stamp_related()') = w.guard THEN
        EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', session_guard.shown(relid));
        PERFORM session_guard.drop_triggers(relid, 'session_guard.stamp_related()');
        UPDATE session_guard.watch AS r SET (schema_name, table_name) = (
            SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = relid)
        WHERE (r.schema_name, r.table_name) = (w.schema_name, w.table_name) AND NOT is_replaced;
    END IF;
END $$;

-- Puts the triggers of a guard's watches back. One that cannot be repaired is warned of. Two may have swapped their names:
-- all rows that change go before one is written.
CREATE OR REPLACE FUNCTION session_guard.repair_watches(of_guard text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE w session_guard.watch; old session_guard.watch; relid oid; failure text[]; changed session_guard.watch[] := '{}'; relids oid[] := '{}';
BEGIN
    FOR old IN SELECT r.* FROM session_guard.watch AS r WHERE r.guard = of_guard ORDER BY r.name LOOP
        relid := session_guard.locate_watch(old);
        CONTINUE WHEN relid IS NULL;
        w := session_guard.watch_with_current_names(old, relid);
        SELECT old.guard, old.name, n.nspname, c.relname, pg_get_userbyid(c.relowner), w.user_id_column, w.columns INTO w
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = relid;
        failure := coalesce(session_guard.watch_replaced_failure(old, relid), session_guard.watch_failure(relid, w));
        IF failure IS NOT NULL THEN
            RAISE WARNING USING ERRCODE = failure[1], MESSAGE = failure[2], HINT = failure[4];
        ELSIF NOT session_guard.note_unwatched(relid, w) OR w IS DISTINCT FROM old THEN
            PERFORM session_guard.check_table(relid, 'related');
            changed := changed || w;
            relids := relids || relid;
        END IF;
    END LOOP;
    DELETE FROM session_guard.watch AS r WHERE r.guard = of_guard AND r.name IN (SELECT c.name FROM unnest(changed) AS c);
    FOR number IN 1 .. cardinality(relids) LOOP
        PERFORM session_guard.put_watch(relids[number], changed[number]);
    END LOOP;
END $$;

-- Session stores: the tables in which apps keep their sessions. The extension's owner ends sessions there, with its own
-- rights: a store belongs to that role, or to one whose rights it has.

-- Which table and columns a store's row means, and whether the sessions in it may be ended. What is wrong is in failure.
-- The numbers of the columns are those that add_store saw, so that renames are followed; in a database that a dump was
-- restored into, there are none. A row that is written by hand counts: its writer's rights are those that it is used with.
CREATE OR REPLACE FUNCTION session_guard.open_store(s session_guard.store, OUT relid oid, OUT now_named session_guard.store, OUT failure text[])
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name CONSTANT text := format('%I.%I', s.schema_name, s.table_name); by_name oid; state text; numbers smallint[]; names name[]; c pg_class;
BEGIN
    SELECT t.oid INTO by_name FROM pg_class AS t JOIN pg_namespace AS n ON n.oid = t.relnamespace WHERE n.nspname = s.schema_name AND t.relname = s.table_name;
    SELECT t.state INTO state FROM session_guard.trigger_state AS t WHERE t.guard = s.guard AND t.relation = session_guard.store_key(s)
        AND t.cluster = (SELECT k.system_identifier FROM pg_control_system() AS k) AND t.state LIKE '% @' || (SELECT k.oid FROM pg_database AS k WHERE k.datname = current_database());
    relid := coalesce((SELECT t.oid FROM pg_class AS t WHERE t.oid = split_part(state, ' ', 1)::oid), by_name);
    SELECT t.* INTO c FROM pg_class AS t WHERE t.oid = relid;
    IF relid IS NULL OR session_guard.store_kind_failure(relid) IS NOT NULL THEN
        failure := ARRAY['42P01', format('session store %s is gone', name), NULL, 'Create or restore the table and call session_guard.add_store. If it is not wanted any '
            'more, the extension''s owner deletes its row of session_guard.store.'];
    ELSIF NOT pg_has_role(session_guard.owner(), c.relowner, 'USAGE') OR NOT session_guard.trusts(session_guard.owner(), c.relowner) THEN
        failure := ARRAY['42501', format('the owner of session store %s has not added it', session_guard.shown(relid)), NULL, format('If sessions are to end in it, %I or a superuser calls '
            'session_guard.add_store(%L, %L%s, users => ...).', pg_get_userbyid(c.relowner), session_guard.shown(relid), s.user_id_column,
            ', revoked_at_column => ' || quote_literal(s.revoked_at_column))];
    ELSIF session_guard.hides_rows(relid, session_guard.owner()) THEN
        failure := session_guard.row_security_failure(relid, session_guard.owner());
    ELSIF session_guard.shown(relid) <> name AND by_name IS NOT NULL THEN
        failure := ARRAY['55000', format('session store %s has been renamed to %s, and another table has its name', name, session_guard.shown(relid)), NULL,
            format('Call session_guard.add_store with the table in which the app keeps its sessions now. If that is not %s, call session_guard.remove_store(%L) first.',
                session_guard.shown(relid), session_guard.shown(relid))];
    END IF;
    IF failure IS NOT NULL THEN
        RETURN;
    END IF;
    numbers := ARRAY(SELECT split_part(p.part, ':', 1)::smallint FROM regexp_split_to_table(state, ' ') WITH ORDINALITY AS p (part, n) WHERE p.part ~ '^[0-9]+:[0-9]+$' ORDER BY p.n);
    names := CASE WHEN state IS NULL THEN array_remove(ARRAY[s.user_id_column, s.revoked_at_column], NULL) ELSE ARRAY(SELECT a.attname FROM unnest(numbers) WITH ORDINALITY AS u (number, n)
        LEFT JOIN pg_attribute AS a ON a.attrelid = relid AND a.attnum = u.number AND NOT a.attisdropped ORDER BY u.n) END;
    failure := (SELECT ARRAY['42703', format('column %I of session store %s is gone', u.name, session_guard.shown(relid)), NULL,
            format('Call session_guard.add_store(%L, ...) with the columns that there are now.', session_guard.shown(relid))]
        FROM unnest(array_remove(ARRAY[s.user_id_column, s.revoked_at_column], NULL)) WITH ORDINALITY AS u (name, n) WHERE names[u.n] IS NULL ORDER BY u.n LIMIT 1);
    SELECT s.guard, n.nspname, c.relname, pg_get_userbyid(c.relowner), names[1], names[2] INTO now_named FROM pg_namespace AS n WHERE n.oid = c.relnamespace;
    failure := coalesce(failure, session_guard.store_columns_failure(relid, now_named));
END $$;

-- Under which name trigger_state keeps what add_store saw.
CREATE OR REPLACE FUNCTION session_guard.store_key(s session_guard.store) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('store %s.%s', s.schema_name, s.table_name)
$$;

-- Why a relation cannot be a session store, whatever its columns; NULL if it can.
CREATE OR REPLACE FUNCTION session_guard.store_kind_failure(relid oid) RETURNS text[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE c pg_class; what text;
BEGIN
    SELECT r.* INTO c FROM pg_class AS r WHERE r.oid = relid;
    what := CASE WHEN c.oid < 16384 THEN 'a system catalog' WHEN c.relnamespace = 'session_guard'::regnamespace THEN 'a table of the extension itself'
        WHEN c.relispartition THEN 'a partition' WHEN c.relkind = 'f' THEN 'a foreign table' WHEN c.relkind NOT IN ('r', 'p') THEN 'not a table'
        WHEN c.relpersistence = 't' THEN 'a temporary table' END;
    RETURN CASE WHEN what IS NOT NULL THEN ARRAY['0A000', format('%s is %s, and cannot be a session store', session_guard.shown(relid), what), NULL,
        CASE WHEN what = 'a partition' THEN 'Add its partitioned table: that covers all partitions.'
             ELSE 'Name a permanent table, or a partitioned one. For a view, name the table that it reads.' END] END;
END $$;

-- Why a store's columns cannot be used, NULL if they can. Who owns a table below, or one whose rows follow the store's by
-- a foreign key, has triggers there, which would run with the rights of the extension's owner. A role that has the rights
-- of the store's owner can have triggers on the store itself.
CREATE OR REPLACE FUNCTION session_guard.store_columns_failure(relid oid, s session_guard.store) RETURNS text[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE below oid; failure text[]; a pg_attribute; owner text := quote_ident(s.table_owner);
BEGIN
    WITH RECURSIVE tree AS (SELECT relid AS member UNION SELECT n.member FROM tree AS t CROSS JOIN LATERAL (
        SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = t.member
        UNION ALL SELECT k.conrelid FROM pg_constraint AS k
        WHERE k.confrelid = t.member AND k.contype = 'f' AND (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd'))) AS n (member))
    SELECT c.oid INTO below FROM tree AS t JOIN pg_class AS c ON c.oid = t.member
    WHERE NOT pg_has_role(c.relowner, (SELECT o.relowner FROM pg_class AS o WHERE o.oid = relid), 'USAGE') ORDER BY c.oid LIMIT 1;
    IF below IS NOT NULL THEN
        RETURN ARRAY['42501', format(CASE WHEN EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = below) THEN 'table %s below session store %s belongs to another role'
                ELSE 'table %s, whose rows follow those of session store %s, belongs to another role' END, session_guard.shown(below), session_guard.shown(relid)), NULL,
            format('Look at its triggers and rules first: stamps call them with the rights of %s. Then a superuser gives it to %1$s.', owner)];
    END IF;
    failure := session_guard.id_column_failure(relid, coalesce(s.user_id_column, ''));
    IF failure IS NOT NULL OR s.revoked_at_column IS NULL THEN
        RETURN failure;
    END IF;
    SELECT t.* INTO a FROM pg_attribute AS t WHERE t.attrelid = relid AND t.attname = s.revoked_at_column AND t.attnum > 0 AND NOT t.attisdropped;
    IF NOT FOUND THEN
        RETURN ARRAY['42703', format('table %s has no column %I', session_guard.shown(relid), s.revoked_at_column), NULL, session_guard.other_column_hint(relid)];
    ELSIF a.attgenerated = 'v' OR a.atttypid <> ALL ('{timestamptz,timestamp,integer,bigint}'::regtype[]) THEN
        RETURN ARRAY['42804', format('column %I of table %s cannot hold the time from which sessions are void', s.revoked_at_column, session_guard.shown(relid)),
            format('The column is of type %s.', format_type(a.atttypid, NULL)),
            'Name a timestamptz, a timestamp in UTC, or an integer or bigint of Unix seconds. To have rows deleted, leave the argument out.'];
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION session_guard.add_store(store regclass, user_id_column name, revoked_at_column name DEFAULT NULL, users regclass DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE opened record; s session_guard.store; known session_guard.store; id_type oid; is_uuid boolean[]; other name; failed timestamptz; name text;
BEGIN
    PERFORM session_guard.check_writable('add_store()');
    IF store IS NULL THEN
        PERFORM session_guard.check_table(NULL, 'off');
    END IF;
    LOCK TABLE session_guard.guard IN SHARE ROW EXCLUSIVE MODE;
    opened := session_guard.open_guard(users);
    PERFORM session_guard.raise_failure(opened.failure);
    PERFORM session_guard.check_table(store, 'off');
    PERFORM session_guard.raise_failure(session_guard.store_kind_failure(store));
    name := session_guard.shown(store);
    IF opened.relid = store THEN
        RAISE EXCEPTION USING ERRCODE = '0A000', MESSAGE = format('table %s is the users table itself', name), HINT = 'Name the table in which the app keeps its sessions.';
    END IF;
    SELECT (opened.g).name, n.nspname, c.relname, pg_get_userbyid(c.relowner), user_id_column, revoked_at_column INTO s
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = store;
    PERFORM session_guard.raise_failure(session_guard.store_columns_failure(store, s));
    PERFORM session_guard.check_trust(store);
    SELECT a.atttypid INTO id_type FROM pg_attribute AS a WHERE a.attrelid = store AND a.attname = user_id_column;
    is_uuid := ARRAY(SELECT t = 'uuid'::regtype FROM unnest(ARRAY[id_type, opened.id_type]) AS t WHERE t <> ALL ('{text,varchar}'::regtype[]));
    IF is_uuid[1] <> is_uuid[2] THEN
        PERFORM session_guard.raise_failure(ARRAY['42804', format('column %I of table %s cannot hold the ids of table %s', user_id_column, name, session_guard.shown(opened.relid)),
            'One is a number, and the other a uuid.', session_guard.other_column_hint(store)]);
    END IF;
    IF revoked_at_column IS NOT NULL THEN
        -- A user who has no row yet gets one, of the two columns alone.
        PERFORM session_guard.check_unique(store, user_id_column);
        SELECT a.attname INTO other FROM pg_attribute AS a WHERE a.attrelid = store AND a.attname IN (user_id_column, revoked_at_column)
            AND (a.attgenerated <> '' OR a.attidentity = 'a') ORDER BY a.attnum LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION USING ERRCODE = '0A000', MESSAGE = format('column %I of table %s is generated, so that no row can be made with a value for it', other, name),
                HINT = session_guard.other_column_hint(store);
        END IF;
        SELECT a.attname INTO other FROM pg_attribute AS a WHERE a.attrelid = store AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull AND NOT a.atthasdef AND a.attidentity = ''
            AND a.attname NOT IN (user_id_column, revoked_at_column) ORDER BY a.attnum LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION USING ERRCODE = '0A000', MESSAGE = format('column %I of table %s has no default, and must not be NULL', other, name),
                HINT = format('Users who have no row yet get one. Give the column a default: ALTER TABLE %s ALTER COLUMN %I SET DEFAULT ...;', name, other);
        END IF;
    END IF;
    SELECT r.* INTO known FROM session_guard.store AS r WHERE (session_guard.open_store(r)).relid = store;
    IF known.guard <> s.guard THEN
        RAISE EXCEPTION USING ERRCODE = '42710', MESSAGE = format('table %s is a session store of the guard %s already', name, known.guard),
            HINT = format('To have that guard end no sessions in it any more, run: SELECT session_guard.remove_store(%L);', name);
    END IF;
    -- Who has stamped does not know of the store, and is waited for.
    LOCK TABLE session_guard.epoch, session_guard.guard_epoch IN SHARE ROW EXCLUSIVE MODE;
    failed := session_guard.forget_store(known);
    INSERT INTO session_guard.store VALUES (s.*);
    PERFORM session_guard.record_state(s.guard, session_guard.store_key(s), session_guard.store_state(store, s));
    -- Those who are disabled have no sessions from now on.
    EXECUTE format('INSERT INTO session_guard.pending (guard, user_id, ends) SELECT $2, session_guard.key_of(%1$I::pg_catalog.text), true FROM %2$s WHERE %1$I IS NOT NULL AND NOT %3$s',
        (opened.g).id_column, session_guard.rows_of(opened.relid),
        session_guard.active_sql((opened.g).active_when, opened.status_type, quote_ident((opened.g).active_column))) USING clock_timestamp(), s.guard;
    PERFORM session_guard.note_stored_since(s.guard, failed);
END $$;

CREATE OR REPLACE FUNCTION session_guard.store_state(relid oid, s session_guard.store) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT session_guard.state_of(relid, 0::regprocedure, array_remove(ARRAY[s.user_id_column, s.revoked_at_column], NULL)) || ' @' || d.oid FROM pg_database AS d WHERE d.datname = current_database()
$$;

CREATE OR REPLACE FUNCTION session_guard.remove_store(store regclass) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE s session_guard.store;
BEGIN
    PERFORM session_guard.check_writable('remove_store()');
    PERFORM session_guard.check_table(store, 'off');
    LOCK TABLE session_guard.guard IN SHARE ROW EXCLUSIVE MODE;
    SELECT r.* INTO s FROM session_guard.store AS r WHERE (session_guard.open_store(r)).relid = remove_store.store
        OR format('%I.%I', r.schema_name, r.table_name) = session_guard.shown(remove_store.store);
    IF NOT FOUND THEN
        PERFORM session_guard.raise_failure(ARRAY['42704', format('table %s is not a session store', session_guard.shown(store)), NULL,
            'The session stores are listed by: SELECT schema_name, table_name FROM session_guard.store;']);
    END IF;
    PERFORM session_guard.forget_store(s);
END $$;

-- Deletes a store's rows, and tells since when it had failed.
CREATE OR REPLACE FUNCTION session_guard.forget_store(s session_guard.store) RETURNS timestamptz
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM session_guard.store AS r WHERE (r.schema_name, r.table_name) = (s.schema_name, s.table_name);
    DELETE FROM session_guard.trigger_state AS t WHERE t.guard = s.guard AND t.relation = session_guard.store_key(s);
    RETURN session_guard.forget_store_failure(s);
END $$;

CREATE OR REPLACE FUNCTION session_guard.forget_store_failure(s session_guard.store) RETURNS timestamptz
    LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    WITH gone AS (DELETE FROM session_guard.store_failure AS f WHERE (f.guard, f.schema_name, f.table_name) = (s.guard, s.schema_name, s.table_name) RETURNING f.failed_at)
    SELECT min(gone.failed_at) FROM gone
$$;

-- Notes that a user's sessions in stores are to end at COMMIT, or everybody's; raises says whether a row may be made. A
-- foreign key must never keep a user from being deleted.
CREATE OR REPLACE FUNCTION session_guard.note_stored(of_guard text, key text, raises boolean) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM session_guard.store AS s WHERE s.guard = of_guard) AND (key IS NULL OR NOT EXISTS (SELECT FROM session_guard.pending AS p
            WHERE p.transaction_id = pg_current_xact_id() AND p.guard = of_guard AND p.user_id = key AND p.ends >= raises)) THEN
        INSERT INTO session_guard.pending (guard, user_id, ends) VALUES (of_guard, key, raises);
    END IF;
END $$;

-- Those who were stamped since a store has failed; NULL: it has not.
CREATE OR REPLACE FUNCTION session_guard.note_stored_since(of_guard text, failed timestamptz) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM session_guard.note_stored(of_guard, NULL, g.reason <> 'truncated') FROM session_guard.guard_epoch AS g WHERE g.guard = of_guard AND g.stamped_at >= failed;
    PERFORM session_guard.note_stored(of_guard, e.user_id, e.reason NOT IN ('deleted', 'recreated')) FROM session_guard.epoch AS e WHERE e.guard = of_guard AND e.stamped_at >= failed;
END $$;

-- What reconcile does about a guard's stores: their rows say the names of now, and what has failed is done again.
CREATE OR REPLACE FUNCTION session_guard.repair_stores(of_guard text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE s session_guard.store; opened record; failed timestamptz;
BEGIN
    FOR s IN SELECT r.* FROM session_guard.store AS r WHERE r.guard = of_guard LOOP
        opened := session_guard.open_store(s);
        CONTINUE WHEN opened.failure IS NOT NULL;
        failed := session_guard.forget_store_failure(s);
        PERFORM session_guard.forget_store(s);
        INSERT INTO session_guard.store SELECT (opened.now_named).*;
        PERFORM session_guard.record_state(of_guard, session_guard.store_key(opened.now_named), session_guard.store_state(opened.relid, opened.now_named));
        PERFORM session_guard.note_stored_since(of_guard, failed);
    END LOOP;
END $$;

-- The constraints that a statement which writes a store may defer. No others: what their triggers call would run with the
-- rights of the extension's owner. SET CONSTRAINTS means all of a name in a schema, so that a name which a table
-- elsewhere has, too, is left out.
CREATE OR REPLACE FUNCTION session_guard.deferrable_of(s session_guard.store) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    relid CONSTANT oid := (session_guard.open_store(s)).relid;
    tree CONSTANT oid[] := ARRAY(WITH RECURSIVE t AS (SELECT relid AS member UNION SELECT i.inhrelid FROM pg_inherits AS i JOIN t ON i.inhparent = t.member) SELECT t.member FROM t);
BEGIN
    RETURN (SELECT string_agg(DISTINCT format('%I.%I', n.nspname, c.conname), ', ') FROM pg_constraint AS c JOIN pg_namespace AS n ON n.oid = c.connamespace
        WHERE c.condeferrable AND (c.conrelid = ANY (tree) OR c.contype = 'f' AND c.confrelid = ANY (tree))
          AND NOT EXISTS (SELECT FROM pg_constraint AS o WHERE o.conname = c.conname AND o.connamespace = c.connamespace AND o.condeferrable AND o.contype <> 'f' AND o.conrelid <> ALL (tree)));
END $$;

-- Ends what is to be ended, before a transaction that stamps commits: a bulk change in a few statements. A store that
-- fails does not stop the stamp. Constraints of the store that are deferred are checked here, where they fail it alone.
CREATE OR REPLACE FUNCTION session_guard.end_stored() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE p record; s session_guard.store; state text; reason text; hint text; failed timestamptz; constraints text;
BEGIN
    FOR p IN WITH taken AS (DELETE FROM session_guard.pending AS q WHERE q.transaction_id = pg_current_xact_id() AND q.ends IS NOT NULL RETURNING q.guard, q.user_id, q.ends)
        SELECT t.guard, array_agg(DISTINCT t.user_id) FILTER (WHERE t.user_id IS NOT NULL) AS users, array_agg(DISTINCT t.user_id) FILTER (WHERE t.user_id IS NOT NULL AND t.ends) AS raised,
            bool_or(t.user_id IS NULL) AS has_all, bool_or(t.user_id IS NULL AND t.ends) AS raises_all FROM taken AS t GROUP BY t.guard ORDER BY t.guard
    LOOP
        FOR s IN SELECT r.* FROM session_guard.store AS r WHERE r.guard = p.guard ORDER BY r.schema_name, r.table_name LOOP
            BEGIN
                PERFORM session_guard.end_in_store(s, p.users, p.raised, p.has_all, p.raises_all);
                constraints := session_guard.deferrable_of(s);
                IF constraints IS NOT NULL THEN
                    EXECUTE format('SET CONSTRAINTS %s IMMEDIATE', constraints);
                    EXECUTE format('SET CONSTRAINTS %s DEFERRED', constraints);
                END IF;
            EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
                GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, reason = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
                IF state <> 'SG002' THEN
                    reason := format('sessions in %I.%I were not ended: %s', s.schema_name, s.table_name, left(reason, 500));
                    hint := 'The stamp stands. To have these sessions end, too, run: SELECT session_guard.reconcile();';
                END IF;
                -- now() is when the transaction began: what it has stamped was stamped since. What reconcile was to end, before.
                failed := least(now(), (SELECT min(e.stamped_at) FROM session_guard.epoch AS e WHERE e.guard = p.guard AND e.user_id = ANY (p.users)),
                    (SELECT e.stamped_at FROM session_guard.guard_epoch AS e WHERE e.guard = p.guard AND p.has_all));
                INSERT INTO session_guard.store_failure SELECT s.guard, s.schema_name, s.table_name, failed, reason WHERE NOT EXISTS (SELECT FROM session_guard.store_failure AS f
                    WHERE (f.guard, f.schema_name, f.table_name) = (s.guard, s.schema_name, s.table_name) AND f.failed_at <= failed);
                RAISE WARNING USING ERRCODE = '55000', MESSAGE = reason, HINT = hint;
            END;
        END LOOP;
    END LOOP;
END $$;

-- The ids of $1 as a column of that type holds them, as SQL. A query and no array: it is hashed.
CREATE OR REPLACE FUNCTION session_guard.ids_sql(id_type oid) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('SELECT session_guard.id_in(k, %s)::%s FROM pg_catalog.unnest($1) AS k', id_type,
        CASE id_type WHEN 'varchar'::regtype THEN 'pg_catalog.text' ELSE id_type::regtype::text END)
$$;

-- One store's. Somebody may hold a lock for good.
CREATE OR REPLACE FUNCTION session_guard.end_in_store(s session_guard.store, users text[], raised text[], has_all boolean, raises_all boolean) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '3s' AS $$
DECLARE
    store record := session_guard.open_store(s); opened record; id_type oid; time_type oid; id name; at name; name text; ids text; now text;
    clock CONSTANT timestamptz := clock_timestamp() + (session_guard.current_policy()).stamp_margin;
BEGIN
    IF store.failure IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'SG002', MESSAGE = store.failure[2], HINT = store.failure[4];
    END IF;
    name := session_guard.shown(store.relid);
    id := (store.now_named).user_id_column;
    at := (store.now_named).revoked_at_column;
    SELECT a.atttypid INTO id_type FROM pg_attribute AS a WHERE a.attrelid = store.relid AND a.attname = id;
    -- What the column cannot hold is nobody's there. An id that reads as the digest of a longer one has that one's epoch, and ends.
    ids := session_guard.ids_sql(id_type);
    IF at IS NULL THEN
        IF has_all THEN
            EXECUTE format('DELETE FROM %s WHERE %I IS NOT NULL', name, id);
        ELSE
            EXECUTE format('DELETE FROM %s WHERE %I OPERATOR(pg_catalog.=) ANY (%s)', name, id, ids) USING users;
        END IF;
        RETURN;
    END IF;
    SELECT a.atttypid INTO time_type FROM pg_attribute AS a WHERE a.attrelid = store.relid AND a.attname = at;
    now := CASE time_type WHEN 'timestamptz'::regtype THEN '$2' WHEN 'timestamp'::regtype THEN 'pg_catalog.timezone(''UTC'', $2)'
        ELSE format('pg_catalog.ceil(extract(epoch FROM $2))::%s', time_type::regtype) END;
    IF has_all THEN
        EXECUTE format('UPDATE %1$s AS s SET %2$I = %3$s WHERE s.%2$I IS NULL OR s.%2$I OPERATOR(pg_catalog.<) %3$s', name, at, now) USING users, clock;
        raised := CASE WHEN raises_all THEN raised END;
    END IF;
    -- A row is made for those alone who have an account.
    SELECT g.* INTO opened FROM session_guard.guard AS r CROSS JOIN LATERAL session_guard.open_guard(coalesce(session_guard.locate(r), 0)) AS g WHERE r.name = s.guard AND r.detached_at IS NULL;
    IF opened.relid IS NOT NULL AND opened.failure IS NULL THEN
        EXECUTE format('SELECT pg_catalog.array_agg(u.%1$I::pg_catalog.text) FROM %2$s AS u WHERE u.%1$I IS NOT NULL AND %3$s', (opened.g).id_column, session_guard.rows_of(opened.relid),
            CASE WHEN has_all AND raises_all THEN 'true' ELSE format('u.%I OPERATOR(pg_catalog.=) ANY (%s)', (opened.g).id_column, session_guard.ids_sql(opened.id_type)) END)
            INTO raised USING raised;
    ELSE
        raised := ARRAY(SELECT r.key FROM unnest(raised) AS r (key) WHERE NOT session_guard.is_digest(r.key));
    END IF;
    EXECUTE format('INSERT INTO %1$s AS s (%2$I, %3$I) SELECT u.id, %4$s FROM (%5$s) AS u (id) WHERE u.id IS NOT NULL ON CONFLICT (%2$I) DO UPDATE SET %3$I = EXCLUDED.%3$I '
        'WHERE s.%3$I IS NULL OR s.%3$I OPERATOR(pg_catalog.<) EXCLUDED.%3$I', name, id, at, now, ids) USING raised, clock;
END $$;

-- What attach and watch write.
--
-- verdict(), stamp() and stamp_related() are their templates with a branch for each guard or watch, whose statements name the
-- table and its columns, so that their plans are kept. A branch first compares all that its text depends on: if it is not
-- as it was when that was written, the template goes on without it.

-- What must hold while the text that depends on it is right, as SQL. NULL while the guard is not as attach left it. STABLE:
-- all that is read is of one moment.
CREATE OR REPLACE FUNCTION session_guard.unchanged_sql(g session_guard.guard, relid oid) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    c pg_class; stamp CONSTANT regprocedure := 'session_guard.stamp()'; columns CONSTANT name[] := ARRAY[g.id_column, g.active_column] || g.revoke_on;
BEGIN
    SELECT r.* INTO c FROM pg_class AS r WHERE r.oid = relid AND r.relkind <> 'p' AND EXISTS (SELECT FROM session_guard.trigger_state AS t WHERE t.guard = g.name AND t.relation = ''
        AND t.state = concat_ws('|', session_guard.state_of(relid, stamp, columns), session_guard.shown(relid), g.table_owner, g.active_when));
    IF NOT FOUND OR (session_guard.open_guard(relid)).failure IS NOT NULL THEN
        RETURN NULL;
    END IF;
    -- To count ctid, no other column is fetched: half of the time goes into setting up what is read.
    RETURN format('to_regclass(%L) = %s
              AND EXISTS (SELECT FROM pg_class AS seen WHERE seen.oid = %2$s AND seen.relowner = %s AND seen.relkind = %L AND seen.relam = %s AND seen.relrowsecurity = %L)%s
              AND EXISTS (SELECT FROM session_guard.guard AS seen WHERE seen.name = %L AND seen.detached_at IS NULL AND seen.is_default = %L AND seen.max_session_age IS NOT DISTINCT FROM %L::interval
                AND seen.schema_name = %L AND seen.table_name = %L AND seen.table_owner = %L AND seen.id_column = %L AND seen.active_column = %L AND seen.active_when = %L AND seen.revoke_on = %L)',
            session_guard.shown(relid), relid, c.relowner, c.relkind, c.relam, c.relrowsecurity, CASE WHEN c.relrowsecurity THEN format(' AND NOT session_guard.hides_rows(%s, session_guard.owner())', relid) ELSE '' END, g.name, g.is_default, g.max_session_age,
            g.schema_name, g.table_name, g.table_owner, g.id_column, g.active_column, g.active_when, g.revoke_on)
        || (SELECT format('
              AND (SELECT count(seen.ctid) = %s AND bool_and(%s) FROM pg_trigger AS seen WHERE seen.tgrelid = %s AND seen.tgfoid = %s)',
                sum(t.count), string_agg(format('seen.oid = ANY (%L) AND seen.xmin = %L AND seen.tgenabled = %L', t.oids, t.xmin, t.tgenabled), ' OR '), relid, stamp::oid)
            FROM (SELECT count(*) AS count, array_agg(m.oid ORDER BY m.oid) AS oids, m.xmin::text AS xmin, m.tgenabled FROM pg_trigger AS m
                  WHERE m.tgrelid = relid AND m.tgfoid = stamp GROUP BY m.xmin::text, m.tgenabled) AS t)
        || (SELECT format('
              AND (SELECT count(seen.ctid) = %s FROM pg_attribute AS seen WHERE seen.attrelid = %s AND seen.attnum = ANY (%L) AND (%s))',
                count(*), relid, array_agg(a.attnum), string_agg(format('seen.attnum = %s AND seen.attname = %L AND seen.atttypid = %s', a.attnum, a.attname, a.atttypid), ' OR ' ORDER BY a.attnum))
            FROM pg_attribute AS a WHERE a.attrelid = relid AND a.attname = ANY (columns) AND a.attnum > 0 AND NOT a.attisdropped);
END $$;

CREATE OR REPLACE FUNCTION session_guard.verdict_branch(g session_guard.guard, relid oid) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    unchanged CONSTANT text := session_guard.unchanged_sql(g, relid); id_type regtype; status_type oid; by_time CONSTANT boolean := session_guard.goes_by_time(g.active_when);
BEGIN
    IF unchanged IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT a.atttypid INTO id_type FROM pg_attribute AS a WHERE a.attrelid = relid AND a.attname = g.id_column;
    SELECT a.atttypid INTO status_type FROM pg_attribute AS a WHERE a.attrelid = relid AND a.attname = g.active_column;
    RETURN format('
    IF users = %s%s THEN
        SELECT r_policy.* INTO policy FROM session_guard.policy AS r_policy
        WHERE %s
        ORDER BY r_policy.set_at DESC LIMIT 1;
        IF FOUND THEN
            IF policy.in_old_snapshot <> ''answer'' THEN
                PERFORM session_guard.check_snapshot(policy);
            END IF;
            IF policy.when_timeline_changed <> ''live'' AND NOT session_guard.is_acknowledged() THEN
                RETURN ''unacknowledged_timeline'';
            END IF;
            id := %s;
            IF id IS NULL THEN
                RETURN ''unknown_user'';
            END IF;
            SELECT count(r_account.place) > 0, %s,
                greatest((SELECT max(r_epoch.epoch) FROM session_guard.epoch AS r_epoch WHERE r_epoch.user_id = %s AND r_epoch.guard = %L),
                         (SELECT r_epoch.epoch FROM session_guard.guard_epoch AS r_epoch WHERE r_epoch.guard = %7$L))
            INTO is_known, %s, epoch
            FROM (SELECT %s AS status, r_user.ctid AS place FROM ONLY %s AS r_user WHERE r_user.%I = %s) AS r_account;
            max_age := %L;%s
        END IF;
    END IF;',
        relid, CASE WHEN g.is_default THEN ' OR users IS NULL' ELSE '' END,
        unchanged,
        -- What is written as the column writes it needs no look.
        CASE WHEN id_type IN ('text'::regtype, 'varchar'::regtype) THEN 'user_id'
             ELSE format('CASE WHEN user_id ~ %L THEN user_id ELSE session_guard.id_in(user_id, %s) END',
                CASE id_type WHEN 'uuid'::regtype THEN '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' ELSE '^(0|-?[1-9][0-9]{0,17})$' END, id_type::oid) END,
        CASE WHEN NOT by_time THEN 'bool_and(r_account.status)' WHEN g.active_when = 'past' THEN 'max(r_account.status)' ELSE 'min(r_account.status)' END,
        CASE WHEN id_type IN ('text'::regtype, 'varchar'::regtype) THEN 'CASE WHEN octet_length(this.id) <= 1024 THEN this.id ELSE session_guard.key_of(this.id) END' ELSE 'this.id' END,
        g.name, CASE WHEN by_time THEN 'at' ELSE 'is_active' END,
        session_guard.status_sql(g.active_when, status_type, format('r_user.%I', g.active_column)), session_guard.shown(relid), g.id_column,
        CASE WHEN id_type IN ('text'::regtype, 'varchar'::regtype) THEN 'this.id' WHEN id_type = 'uuid'::regtype THEN 'this.id::uuid' ELSE 'this.id::bigint' END,
        g.max_session_age, CASE g.active_when WHEN 'past' THEN '
            is_active := coalesce(at <= clock_timestamp(), true);
            epoch := greatest(epoch, CASE WHEN at > ''-infinity'' THEN session_guard.later(at, policy.stamp_margin) END);'
            WHEN 'future' THEN '
            is_active := coalesce(at > clock_timestamp(), true);' ELSE '' END);
END $$;

CREATE OR REPLACE FUNCTION session_guard.stamp_branch(g session_guard.guard, relid oid) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    unchanged CONSTANT text := session_guard.unchanged_sql(g, relid); id_type regtype; status_type oid; key text;
BEGIN
    IF unchanged IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT a.atttypid INTO id_type FROM pg_attribute AS a WHERE a.attrelid = relid AND a.attname = g.id_column;
    SELECT a.atttypid INTO status_type FROM pg_attribute AS a WHERE a.attrelid = relid AND a.attname = g.active_column;
    key := CASE WHEN id_type IN ('text'::regtype, 'varchar'::regtype) THEN 'session_guard.key_of(%s.%I::text)' ELSE '%s.%I::text' END;
    RETURN format('
    IF TG_RELID = %s AND (SELECT %s) THEN
        guard_name := %L;
        form := %L;
        IF TG_OP IN (''UPDATE'', ''DELETE'') THEN
            old_key := %s;
        END IF;
        IF TG_OP IN (''UPDATE'', ''INSERT'') THEN
            new_key := %s;
        END IF;
        IF TG_OP = ''UPDATE'' THEN
            %s := %s;
            %s := %s;
            status_changed := record_image_ne(ROW(OLD.%I), ROW(NEW.%11$I));
            changed_column := %s;
        END IF;
    END IF;',
        relid, unchanged, g.name, g.active_when, format(key, 'OLD', g.id_column), format(key, 'NEW', g.id_column),
        CASE WHEN session_guard.goes_by_time(g.active_when) THEN 'was_at' ELSE 'was' END, session_guard.status_sql(g.active_when, status_type, format('OLD.%I', g.active_column)),
        CASE WHEN session_guard.goes_by_time(g.active_when) THEN 'now_at' ELSE 'is_now' END, session_guard.status_sql(g.active_when, status_type, format('NEW.%I', g.active_column)),
        g.active_column, session_guard.changed_column_sql(g.revoke_on, 'OLD.%I', 'NEW.%I'));
END $$;

CREATE OR REPLACE FUNCTION session_guard.stamp_related_branch(w session_guard.watch, relid oid) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE a pg_attribute;
BEGIN
    SELECT r.* INTO a FROM pg_attribute AS r WHERE r.attrelid = relid AND r.attname = w.user_id_column AND r.attnum > 0 AND NOT r.attisdropped;
    -- While the column has another name than it was watched by, which one is meant has to be looked up.
    IF NOT FOUND OR session_guard.watch_with_current_names(w, relid) IS DISTINCT FROM w OR session_guard.id_column_failure(relid, w.user_id_column) IS NOT NULL THEN
        RETURN NULL;
    END IF;
    RETURN format('
    IF TG_RELID = %s AND TG_ARGV[0] = %L AND TG_ARGV[1] = %L AND EXISTS (SELECT FROM session_guard.watch AS r_watch, session_guard.guard AS r_guard, pg_attribute AS r_column
            WHERE r_watch.guard = %2$L AND r_watch.name = %3$L AND r_watch.user_id_column = %L AND r_guard.name = %2$L AND r_guard.detached_at IS NULL
              AND (r_column.attrelid, r_column.attnum, r_column.attname, r_column.atttypid) = (%1$s, %5$s, %4$L, %6$s)) THEN
        guard_name := %2$L;
        IF TG_OP = ''UPDATE'' THEN
            users := ARRAY[OLD.%4$I::text, NEW.%4$I::text];
        ELSIF TG_OP = ''INSERT'' THEN
            users := ARRAY[NEW.%4$I::text];
        ELSIF TG_OP = ''DELETE'' THEN
            users := ARRAY[OLD.%4$I::text];
        END IF;
    END IF;', relid, w.guard, w.name, w.user_id_column, a.attnum, a.atttypid);
END $$;

-- Writes the functions anew. CREATE OR REPLACE keeps their owner.
CREATE OR REPLACE FUNCTION session_guard.write_functions() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $do$
DECLARE
    written record;
BEGIN
    FOR written IN
        SELECT f.signature, f.returns, CASE WHEN t.prosecdef THEN 'SECURITY DEFINER' ELSE 'SECURITY INVOKER' END AS rights, replace(t.prosrc, '-- BRANCHES', coalesce(f.branches, '')) AS body,
            (SELECT o.prosrc FROM pg_proc AS o WHERE o.proname = split_part(f.signature, '(', 1) AND o.pronamespace = t.pronamespace) AS old_body
        FROM (
            SELECT 'verdict(users oid, user_id text, login timestamptz)', 'text', (SELECT string_agg(session_guard.verdict_branch(g, session_guard.locate(g)), '' ORDER BY g.name)
                FROM session_guard.guard AS g WHERE g.detached_at IS NULL)
            UNION ALL SELECT 'stamp()', 'trigger', (SELECT string_agg(session_guard.stamp_branch(g, session_guard.locate(g)), '' ORDER BY g.name)
                FROM session_guard.guard AS g WHERE g.detached_at IS NULL)
            UNION ALL SELECT 'stamp_related()', 'trigger', (SELECT string_agg(session_guard.stamp_related_branch(w, session_guard.locate_watch(w)), '' ORDER BY w.name)
                FROM session_guard.watch AS w JOIN session_guard.guard AS g ON g.name = w.guard AND g.detached_at IS NULL)) AS f (signature, returns, branches)
        JOIN pg_proc AS t ON t.proname = split_part(f.signature, '(', 1) || '_template' AND t.pronamespace = 'session_guard'::regnamespace
    LOOP
        IF written.body IS DISTINCT FROM written.old_body THEN
            EXECUTE format('CREATE OR REPLACE FUNCTION session_guard.%s RETURNS %s LANGUAGE plpgsql %s SET search_path = pg_catalog, pg_temp AS %L', written.signature, written.returns, written.rights, written.body);
        END IF;
    END LOOP;
END $do$;

-- Policies, rights, the record.

CREATE OR REPLACE FUNCTION session_guard.configure(future_login_tolerance interval DEFAULT NULL, stamp_margin interval DEFAULT NULL, when_disarmed text DEFAULT NULL,
    audit boolean DEFAULT NULL, notify boolean DEFAULT NULL, revocation_durability text DEFAULT NULL, max_standby_staleness interval DEFAULT NULL,
    when_timeline_changed text DEFAULT NULL, in_old_snapshot text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE given record;
BEGIN
    PERFORM session_guard.check_writable('configure()');
    PERFORM session_guard.check_administration();
    FOR given IN SELECT * FROM (VALUES ('future_login_tolerance', future_login_tolerance), ('stamp_margin', stamp_margin), ('max_standby_staleness', max_standby_staleness)) AS v (name, value)
        WHERE NOT session_guard.seconds(v.value) BETWEEN 0 AND 86400 LOOP
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = format('%s must be between 0 and 1 day', given.name), HINT = 'Give an interval such as ''10 s''.';
    END LOOP;
    FOR given IN SELECT * FROM (VALUES ('when_disarmed', when_disarmed COLLATE "C", 'live', 'refuse'), ('when_timeline_changed', when_timeline_changed COLLATE "C", 'live', 'refuse'),
            ('revocation_durability', revocation_durability COLLATE "C", 'local', 'remote_apply'), ('in_old_snapshot', in_old_snapshot COLLATE "C", 'answer', 'raise')) AS v (name, value, one, other)
        WHERE v.value NOT IN (v.one, v.other) LOOP
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = format('%s must be %s or %s', given.name, given.one, given.other), HINT = format('Give %L or %L.', given.one, given.other);
    END LOOP;
    IF revocation_durability = 'remote_apply' OR max_standby_staleness > '0' OR when_timeline_changed = 'refuse' AND session_guard.timeline_number() IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = '0A000', MESSAGE = 'the SQL edition cannot keep this policy',
            DETAIL = 'It cannot force remote_apply, does not know how old a standby''s answer is, and not every server tells its timeline.',
            HINT = 'Set synchronous_commit to remote_apply where accounts are disabled, and ask the primary.';
    END IF;
    DELETE FROM session_guard.policy AS p WHERE p.ctid <> (SELECT q.ctid FROM session_guard.policy AS q ORDER BY q.set_at DESC LIMIT 1);
    INSERT INTO session_guard.policy (set_at) SELECT '-infinity' WHERE NOT EXISTS (SELECT FROM session_guard.policy);
    UPDATE session_guard.policy AS p SET set_at = clock_timestamp(), set_by = session_user,
        future_login_tolerance = coalesce(configure.future_login_tolerance, p.future_login_tolerance), stamp_margin = coalesce(configure.stamp_margin, p.stamp_margin),
        when_disarmed = coalesce(configure.when_disarmed, p.when_disarmed), audit = coalesce(configure.audit, p.audit), notify = coalesce(configure.notify, p.notify),
        when_timeline_changed = coalesce(configure.when_timeline_changed, p.when_timeline_changed), in_old_snapshot = coalesce(configure.in_old_snapshot, p.in_old_snapshot);
END $$;

-- Where the functions are that apps call.
CREATE OR REPLACE FUNCTION session_guard.app_schema() RETURNS oid
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT p.pronamespace FROM pg_proc AS p WHERE p.proname = 'token_valid' AND p.proowner = session_guard.owner() AND p.prosecdef
      AND p.prosrc LIKE '%session_guard.token_verdict%' ORDER BY p.oid LIMIT 1
$$;

-- The functions that apps call, as GRANT takes them.
CREATE OR REPLACE FUNCTION session_guard.app_functions() RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT string_agg(p.oid::regprocedure::text, ', ' ORDER BY p.oid) FROM pg_proc AS p
    WHERE p.proname IN ('session_valid', 'session_verdict', 'session_start', 'token_valid') AND p.proowner = session_guard.owner()
      AND p.pronamespace = session_guard.app_schema() AND p.prosrc LIKE '%session_guard.%' AND p.prosecdef
$$;

CREATE OR REPLACE FUNCTION session_guard.grant_access(role regrole) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM session_guard.check_writable('grant_access()');
    PERFORM session_guard.check_administration();
    IF role IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = '22004', MESSAGE = 'the role must not be null', HINT = 'Name the role that the app logs in to the server with.';
    ELSIF NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = role) THEN
        RAISE EXCEPTION USING ERRCODE = '42704', MESSAGE = format('role "%s" does not exist', role::oid);
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA %s TO %s', session_guard.app_schema()::regnamespace, role);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', session_guard.app_functions(), role);
END $$;

CREATE OR REPLACE FUNCTION session_guard.revoke_access(role regrole) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM session_guard.check_writable('revoke_access()');
    PERFORM session_guard.check_administration();
    IF role IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = '22004', MESSAGE = 'the role must not be null', HINT = 'Name the role that the app logs in to the server with.';
    ELSIF NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = role) THEN
        RAISE EXCEPTION USING ERRCODE = '42704', MESSAGE = format('role "%s" does not exist', role::oid);
    END IF;
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM %s', session_guard.app_functions(), role);
    IF EXISTS (SELECT FROM pg_proc AS p WHERE p.pronamespace = session_guard.app_schema() AND p.proowner = session_guard.owner() AND p.prosecdef
               AND p.proname IN ('session_valid', 'session_verdict', 'session_start', 'token_valid') AND has_function_privilege(role, p.oid, 'EXECUTE')) THEN
        RAISE WARNING USING ERRCODE = '01006', MESSAGE = format('role %s may still call what apps call', role),
            HINT = 'It is a superuser or a member of another role, or PUBLIC or another grantor''s grant includes it.';
    END IF;
END $$;

CREATE OR REPLACE FUNCTION session_guard.prune(events_older_than interval DEFAULT NULL, epochs_older_than interval DEFAULT NULL, dry_run boolean DEFAULT false)
    RETURNS TABLE (relation text, removed bigint)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE before timestamptz; g session_guard.guard; opened record; gone bigint := 0; here bigint; condition text;
BEGIN
    PERFORM session_guard.check_writable('prune()');
    PERFORM session_guard.check_read_committed('prune()');
    PERFORM session_guard.check_administration();
    IF session_guard.seconds(events_older_than) < 0 THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'events_older_than must not be negative', HINT = 'Give an interval such as ''90 days''.';
    ELSIF session_guard.seconds(epochs_older_than) < 86400 THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'epochs younger than a day cannot be removed',
            HINT = 'Give a longer time than any session or token lives, with its unit: ''90 days''.';
    ELSIF session_guard.seconds(epochs_older_than) < (SELECT max(session_guard.seconds(r.max_session_age)) FROM session_guard.guard AS r WHERE r.detached_at IS NULL) THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'epochs younger than the max_session_age of a guard cannot be removed',
            HINT = 'Give a longer time than any session or token lives, with its unit: ''90 days''.';
    END IF;
    IF events_older_than IS NOT NULL THEN
        before := clock_timestamp() - make_interval(secs => least(session_guard.seconds(events_older_than), 100000000000)::double precision);
        relation := 'event';
        SELECT count(*) INTO removed FROM session_guard.event AS e WHERE e.at < before;
        IF NOT dry_run THEN
            DELETE FROM session_guard.event AS e WHERE e.at < before;
            GET DIAGNOSTICS removed = ROW_COUNT;
        END IF;
        RETURN NEXT;
        relation := 'unwatched';
        SELECT count(*) INTO removed FROM session_guard.unwatched AS u WHERE u.noticed_at < before AND u.noticed_at < (SELECT max(o.noticed_at) FROM session_guard.unwatched AS o WHERE o.guard = u.guard);
        IF NOT dry_run THEN
            DELETE FROM session_guard.unwatched AS u WHERE u.noticed_at < before AND u.noticed_at < (SELECT max(o.noticed_at) FROM session_guard.unwatched AS o WHERE o.guard = u.guard);
            GET DIAGNOSTICS removed = ROW_COUNT;
        END IF;
        RETURN NEXT;
    END IF;
    IF epochs_older_than IS NOT NULL THEN
        before := clock_timestamp() - make_interval(secs => least(session_guard.seconds(epochs_older_than), 100000000000)::double precision);
        FOR g IN SELECT r.* FROM session_guard.guard AS r WHERE r.detached_at IS NULL LOOP
            -- Of a guard that cannot be read, nobody knows who is there no more; nor while a partition is gone, which may come back.
            opened := session_guard.open_guard(coalesce(session_guard.locate(g), 0));
            CONTINUE WHEN opened.failure IS NOT NULL OR session_guard.has_lost_partitions(g.name, opened.relid);
            PERFORM session_guard.check_trust(opened.relid);
            condition := format('e.guard OPERATOR(pg_catalog.=) $1 AND e.epoch OPERATOR(pg_catalog.<) $2 AND e.stamped_at OPERATOR(pg_catalog.<) $2 AND NOT session_guard.is_digest(e.user_id)
                AND NOT EXISTS (SELECT FROM %s AS u WHERE u.%I::pg_catalog.text COLLATE pg_catalog."C" OPERATOR(pg_catalog.=) e.user_id)', session_guard.rows_of(opened.relid), g.id_column);
            EXECUTE format('SELECT pg_catalog.count(*) FROM session_guard.epoch AS e WHERE %s', condition) INTO here USING g.name, before;
            IF NOT dry_run THEN
                EXECUTE format('DELETE FROM session_guard.epoch AS d WHERE d.ctid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT e.ctid FROM session_guard.epoch AS e WHERE %s FOR UPDATE OF e SKIP LOCKED))', condition) USING g.name, before;
                GET DIAGNOSTICS here = ROW_COUNT;
            END IF;
            gone := gone + here;
        END LOOP;
        relation := 'epoch';
        removed := gone;
        RETURN NEXT;
        relation := 'token_epoch';
        SELECT count(*) INTO removed FROM session_guard.token_epoch AS t WHERE t.subject IS NOT NULL AND t.epoch < before AND t.stamped_at < before;
        IF NOT dry_run THEN
            DELETE FROM session_guard.token_epoch AS d WHERE d.ctid = ANY (ARRAY(SELECT t.ctid FROM session_guard.token_epoch AS t
                WHERE t.subject IS NOT NULL AND t.epoch < before AND t.stamped_at < before FOR UPDATE SKIP LOCKED));
            GET DIAGNOSTICS removed = ROW_COUNT;
        END IF;
        RETURN NEXT;
    END IF;
END $$;

CREATE OR REPLACE FUNCTION session_guard.security_event(event_id bigint) RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object('jti', format('%s-%s-%s', (SELECT s.system_identifier FROM pg_control_system() AS s),
            (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()), e.id),
        'iat', floor(extract(epoch FROM clock_timestamp()))::bigint,
        'sub_id', CASE WHEN e.user_id IS NULL AND e.scope <> 'session' AND e.subject IS NOT NULL
            THEN jsonb_build_object('format', 'opaque', 'id', e.scope || ':' || e.subject)
            ELSE jsonb_strip_nulls(jsonb_build_object('format', 'complex',
                'user', CASE WHEN e.user_id IS NOT NULL THEN jsonb_build_object('format', 'opaque', 'id', e.user_id) END,
                'session', CASE WHEN e.subject IS NOT NULL THEN jsonb_build_object('format', 'opaque', 'id', e.subject) END,
                'application', jsonb_build_object('format', 'opaque', 'id', coalesce(e.scope, e.guard)))) END,
        'events', jsonb_build_object('https://schemas.openid.net/secevent/caep/event-type/session-revoked', jsonb_build_object(
            'event_timestamp', floor(extract(epoch FROM e.at))::bigint,
            'initiating_entity', CASE WHEN e.reason = 'admin: logout' THEN 'user' WHEN e.reason IN ('backfill', 'recreated', 'truncated', 'ban_ended') THEN 'system' ELSE 'admin' END,
            'reason_admin', jsonb_build_object('en', left(e.reason, 1000)))))
    FROM session_guard.event AS e
    -- A subject identifier's members must not be empty.
    WHERE e.id = event_id AND e.user_id IS DISTINCT FROM '' AND e.scope IS DISTINCT FROM '' AND e.subject IS DISTINCT FROM '' LIMIT 1
$$;

-- Each check each time, ok or not.
CREATE OR REPLACE FUNCTION session_guard.health() RETURNS TABLE (guard text, check_name text, ok boolean, detail text, remedy text)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    g session_guard.guard; w session_guard.watch; st session_guard.store; opened record; relid oid; name text; problem text; problems text[]; count bigint; noticed timestamptz; margin interval;
    soon CONSTANT text := 'pg_catalog.date_trunc(''second''::pg_catalog.text, pg_catalog.clock_timestamp()) OPERATOR(pg_catalog.+) ''3 s''::pg_catalog.interval';
    lower CONSTANT text := 'UPDATE session_guard.%1$s SET epoch = %2$s WHERE %3$sepoch OPERATOR(pg_catalog.>) (%2$s);';
    may_be_always boolean; now_named session_guard.watch; replaced text[]; renames text[];
BEGIN
    margin := (session_guard.current_policy()).stamp_margin;
    SELECT r.* INTO g FROM session_guard.guard AS r WHERE r.is_default AND r.detached_at IS NULL;
    check_name := 'default_guard'; ok := FOUND;
    opened := session_guard.open_guard(NULL);
    detail := CASE WHEN ok THEN format('%I.%I is the default', g.schema_name, g.table_name) ELSE concat_ws('. ', opened.failure[2], opened.failure[4]) END;
    RETURN NEXT;

    -- The triggers write with the rights of their functions' owner, and as these are set.
    check_name := 'trigger_owner';
    remedy := (SELECT string_agg(format('ALTER FUNCTION session_guard.%1$I() OWNER TO %2$I; ALTER FUNCTION session_guard.%1$I() RESET ALL; ALTER FUNCTION session_guard.%1$I() SECURITY DEFINER '
            'SET search_path = pg_catalog, pg_temp;', p.proname, pg_get_userbyid(session_guard.owner())), ' ' ORDER BY p.proname) FROM pg_proc AS p
        WHERE p.pronamespace = 'session_guard'::regnamespace AND p.proname IN ('stamp', 'stamp_related', 'stamp_pending')
          AND NOT (p.proowner = session_guard.owner() AND p.prosecdef AND replace(array_to_string(p.proconfig, ','), '"', '') IS NOT DISTINCT FROM 'search_path=pg_catalog, pg_temp'));
    ok := remedy IS NULL;
    detail := CASE WHEN ok THEN format('the triggers stamp as %I', pg_get_userbyid(session_guard.owner())) ELSE 'the triggers'' functions have other settings than they were made with' END;
    RETURN NEXT;

    check_name := 'unknown_guards'; remedy := NULL; ok := true; detail := 'all triggers serve guards that are there';
    FOR relid, name IN SELECT DISTINCT t.tgrelid, s.guard FROM pg_trigger AS t CROSS JOIN LATERAL session_guard.served(t.tgrelid, 'session_guard.stamp()') AS s (guard)
        WHERE t.tgfoid = 'session_guard.stamp()'::regprocedure AND s.guard IS NOT NULL AND NOT EXISTS (SELECT FROM session_guard.guard AS r WHERE r.name = s.guard AND r.detached_at IS NULL) LOOP
        ok := false; detail := format('the triggers of table %s serve the guard %s, which is not there', session_guard.shown(relid), name);
        RETURN NEXT;
    END LOOP;
    IF ok THEN
        RETURN NEXT;
    END IF;

    check_name := 'timeline';
    ok := session_guard.is_acknowledged() OR session_guard.timeline_number() IS NULL;
    detail := CASE WHEN NOT ok THEN 'the server has changed its timeline (a failover, or a restore): stamps may be lost, and sessions back'
        WHEN session_guard.timeline_number() IS NULL THEN 'the server does not tell its timeline: after a failover or a restore nobody is warned'
        ELSE 'no stamp is missing because of a failover or a restore' END;
    remedy := CASE WHEN NOT ok THEN (SELECT coalesce(string_agg(format('SELECT session_guard.revoke_all_sessions(%L); ', format('%I.%I', r.schema_name, r.table_name)), '' ORDER BY r.name), '')
        FROM session_guard.guard AS r WHERE r.detached_at IS NULL) || 'SELECT session_guard.acknowledge_timeline();' END;
    RETURN NEXT;

    -- Who owns one of these, or may write the tables, decides who is let in.
    check_name := 'owners'; remedy := NULL;
    detail := (SELECT string_agg(o.name, ', ' ORDER BY o.name) FROM (
        SELECT c.oid::regclass::text FROM pg_class AS c WHERE c.relnamespace = 'session_guard'::regnamespace AND c.relkind IN ('r', 'S') AND c.relowner <> session_guard.owner()
        UNION ALL SELECT p.oid::regprocedure::text FROM pg_proc AS p WHERE p.pronamespace = 'session_guard'::regnamespace AND p.proowner <> session_guard.owner()) AS o (name));
    ok := detail IS NULL;
    detail := CASE WHEN ok THEN format('all tables and functions belong to %I', pg_get_userbyid(session_guard.owner()))
        ELSE format('all tables and functions must belong to %I, but these do not: %s', pg_get_userbyid(session_guard.owner()), detail) END;
    RETURN NEXT;

    check_name := 'writers'; ok := true;
    FOR detail, remedy IN
        SELECT format('%s has %s on session_guard.%I', v.grantee, v.privileges, v.relname), format('REVOKE %s ON TABLE session_guard.%I FROM %s CASCADE;', v.privileges, v.relname, v.grantee)
        FROM (SELECT c.relname, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee, string_agg(DISTINCT a.privilege_type, ', ') AS privileges
            FROM pg_class AS c CROSS JOIN LATERAL (SELECT t.* FROM aclexplode(c.relacl) AS t
                UNION ALL SELECT t.* FROM pg_attribute AS b CROSS JOIN LATERAL aclexplode(b.attacl) AS t WHERE b.attrelid = c.oid AND NOT b.attisdropped) AS a
            WHERE c.relnamespace = 'session_guard'::regnamespace AND c.relkind = 'r' AND a.grantee <> c.relowner AND a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER')
            GROUP BY c.relname, a.grantee) AS v ORDER BY 1
    LOOP
        ok := false;
        RETURN NEXT;
    END LOOP;
    IF ok THEN
        detail := 'nobody but the owner of the SQL edition writes its tables'; remedy := NULL;
        RETURN NEXT;
    END IF;

    check_name := 'logical_replication';
    SELECT string_agg(format('session_guard.%I', t.name), ', ' ORDER BY t.name), string_agg(session_guard.apply_trigger_sql(t.name), ' ' ORDER BY t.name) INTO detail, remedy
    FROM session_guard.tables_without_apply(false) AS t (name);
    ok := remedy IS NULL;
    detail := CASE WHEN ok THEN 'replicated rows raise epochs' ELSE format('replicated rows of %s are not merged with those that are there', detail) END;
    RETURN NEXT;

    -- A call whose arguments fit a function of the same name better is that one's.
    check_name := 'other_functions'; ok := true;
    FOR detail, remedy IN
        SELECT format('%s is not the extension''s, and may be called in its place', p.oid::regprocedure), format('DROP FUNCTION %s;', p.oid::regprocedure) FROM pg_proc AS p
        WHERE p.proname IN ('session_valid', 'session_verdict', 'session_start', 'token_valid') AND p.pronamespace = session_guard.app_schema()
          AND NOT (p.proowner = session_guard.owner() AND p.prosecdef AND p.prosrc LIKE '%session_guard.%') ORDER BY 1
    LOOP
        ok := false;
        RETURN NEXT;
    END LOOP;
    IF ok THEN
        detail := 'no other function has the name of one that apps call'; remedy := NULL;
        RETURN NEXT;
    END IF;

    check_name := 'epochs_ahead';
    SELECT count(*) INTO count FROM session_guard.token_epoch AS t WHERE t.epoch > clock_timestamp() + margin + interval '1 min';
    ok := count = 0; detail := format('epochs that lie ahead of the clock: %s', count);
    remedy := CASE WHEN NOT ok THEN format(lower, 'token_epoch', soon, '') END;
    RETURN NEXT;

    FOR g IN SELECT r.* FROM session_guard.guard AS r WHERE r.detached_at IS NULL ORDER BY r.name LOOP
        guard := g.name; remedy := NULL;
        relid := session_guard.locate(g);
        opened := session_guard.open_guard(coalesce(relid, 0));
        check_name := 'table';
        problems := CASE WHEN relid IS NULL THEN session_guard.gone_failure(g) ELSE coalesce(opened.failure, session_guard.users_failure(relid)) END;
        IF problems IS NOT NULL THEN
            ok := false;
            remedy := problems[5];
            detail := problems[2] || CASE WHEN remedy IS NULL THEN '. ' || problems[4] ELSE '' END;
            RETURN NEXT;
            CONTINUE;
        END IF;
        g := opened.g;
        name := session_guard.shown(relid);
        ok := name = format('%I.%I', g.schema_name, g.table_name);
        detail := CASE WHEN ok THEN 'guarding ' || name ELSE format('%I.%I has been renamed to %s', g.schema_name, g.table_name, name) END;
        remedy := CASE WHEN NOT ok THEN format('SELECT session_guard.reconcile(%L);', name) END;
        RETURN NEXT;

        check_name := 'armed';
        -- A role that does not own the table cannot have its triggers fire for a replica, too.
        SELECT pg_has_role(session_guard.owner(), c.relowner, 'USAGE') INTO may_be_always FROM pg_class AS c WHERE c.oid = relid;
        problems := opened.problems || CASE WHEN may_be_always THEN '{}'::text[] ELSE ARRAY(SELECT format('trigger %s is not ENABLE ALWAYS, which only the table''s owner can change', t.tgname)
            FROM pg_trigger AS t WHERE t.tgrelid = relid AND t.tgfoid = 'session_guard.stamp()'::regprocedure AND t.tgenabled = 'O' ORDER BY t.tgname) END;
        ok := problems = '{}'; detail := 'all triggers are in place'; remedy := NULL;
        IF ok THEN
            RETURN NEXT;
        END IF;
        FOREACH problem IN ARRAY problems LOOP
            detail := problem; remedy := CASE WHEN may_be_always THEN format('SELECT session_guard.reconcile(%L);', name) END;
            RETURN NEXT;
        END LOOP;

        check_name := 'unwatched_changes'; ok := true; detail := 'none'; remedy := NULL;
        SELECT max(u.noticed_at) INTO noticed FROM session_guard.unwatched AS u WHERE u.guard = g.name;
        IF session_guard.triggers_in(session_guard.recorded_state(g.name, '', relid)) <> session_guard.triggers_in(session_guard.state_of(relid, 'session_guard.stamp()', '{}'))
           OR EXISTS (SELECT FROM session_guard.watch AS r, session_guard.locate_watch(r) AS a (relid) WHERE r.guard = g.name
               AND session_guard.triggers_in(session_guard.recorded_state(r.guard, session_guard.watch_key(r.name), a.relid)) <> session_guard.triggers_in(session_guard.state_of(a.relid, 'session_guard.stamp_related()', '{}'))) THEN
            ok := false; detail := 'triggers were changed, maybe back and forth: accounts that were disabled and enabled again meanwhile may have sessions';
            remedy := format('SELECT session_guard.reconcile(%1$L), session_guard.revoke_all_sessions(%1$L);', name);
        ELSIF session_guard.has_lost_partitions(g.name, relid) THEN
            ok := false; detail := 'a partition was detached or dropped, or its triggers were changed: accounts that come back under an id of before may have sessions';
            remedy := format('SELECT session_guard.reconcile(%1$L), session_guard.revoke_all_sessions(%1$L);', name);
        ELSIF noticed > coalesce((SELECT e.stamped_at FROM session_guard.guard_epoch AS e WHERE e.guard = g.name AND e.stamped_at <= clock_timestamp()), '-infinity') THEN
            ok := false; detail := 'accounts that were disabled and enabled again while triggers were missing may have sessions';
            remedy := format('SELECT session_guard.revoke_all_sessions(%L);', name);
        END IF;
        RETURN NEXT;

        check_name := 'epochs_ahead';
        SELECT count(*) INTO count FROM (SELECT e.epoch FROM session_guard.epoch AS e WHERE e.guard = g.name UNION ALL
            SELECT e.epoch FROM session_guard.guard_epoch AS e WHERE e.guard = g.name) AS a WHERE a.epoch > clock_timestamp() + margin + interval '1 min';
        ok := count = 0; detail := format('epochs that lie ahead of the clock: %s', count);
        remedy := CASE WHEN NOT ok THEN format(lower, 'epoch', soon, format('guard OPERATOR(pg_catalog.=) %L::pg_catalog.text AND ', g.name)) || ' '
            || format(lower, 'guard_epoch', soon, format('guard OPERATOR(pg_catalog.=) %L::pg_catalog.text AND ', g.name)) END;
        RETURN NEXT;

        check_name := 'unique_index'; ok := session_guard.is_unique(relid, g.id_column);
        detail := CASE WHEN ok THEN format('column %I has a unique index', g.id_column) ELSE format('column %I has no usable unique index: each call reads the whole table', g.id_column) END;
        remedy := CASE WHEN NOT ok THEN format('CREATE UNIQUE INDEX ON %s (%I);', name, g.id_column) END;
        RETURN NEXT;

        check_name := 'disabled_accounts'; count := 0; remedy := NULL;
        IF g.active_when <> 'future' THEN
            EXECUTE format('SELECT pg_catalog.count(*) FROM %s AS u WHERE u.%I IS NOT NULL AND NOT %s AND NOT EXISTS (SELECT FROM session_guard.epoch AS e
                WHERE e.user_id OPERATOR(pg_catalog.=) session_guard.key_of(u.%2$I::pg_catalog.text) COLLATE pg_catalog."C" AND e.guard OPERATOR(pg_catalog.=) $2)',
                session_guard.rows_of(relid), g.id_column, session_guard.active_sql(g.active_when, opened.status_type, format('u.%I', g.active_column))) INTO count USING clock_timestamp(), g.name;
        END IF;
        ok := count = 0; detail := format('disabled accounts without an epoch: %s', count);
        remedy := CASE WHEN NOT ok THEN format('SELECT session_guard.reconcile(%L);', name) END;
        RETURN NEXT;

        check_name := 'status_values'; problems := session_guard.unknown_values(g.active_when, opened.status_type); remedy := NULL;
        ok := problems = '{}';
        detail := CASE WHEN ok THEN 'active while ' || g.active_when ELSE format('active_when lists what the column cannot be: %s. Call session_guard.attach with active_when => the values for which accounts are active now.',
            array_to_string(problems, ', ')) END;
        RETURN NEXT;

        check_name := 'store';
        FOR st IN SELECT r.* FROM session_guard.store AS r WHERE r.guard = g.name ORDER BY r.schema_name, r.table_name LOOP
            opened := session_guard.open_store(st);
            problem := format('%I.%I', st.schema_name, st.table_name);
            ok := false; remedy := CASE WHEN opened.failure IS NULL THEN format('SELECT session_guard.reconcile(%L);', name) END;
            IF opened.failure IS NOT NULL THEN
                detail := concat_ws('. ', opened.failure[2], opened.failure[4]);
            ELSIF opened.now_named IS DISTINCT FROM st THEN
                detail := format('session store %s, its owner or a column has another name now', problem);
            ELSIF EXISTS (SELECT FROM session_guard.store_failure AS f WHERE (f.guard, f.schema_name, f.table_name) = (st.guard, st.schema_name, st.table_name)) THEN
                detail := format('sessions in %s could not be ended', problem);
            ELSE
                ok := true; detail := 'ending sessions in ' || problem; remedy := NULL;
            END IF;
            RETURN NEXT;
        END LOOP;

        check_name := 'watch';
        FOR w IN SELECT r.* FROM session_guard.watch AS r WHERE r.guard = g.name ORDER BY r.schema_name, r.table_name LOOP
            relid := session_guard.locate_watch(w);
            now_named := CASE WHEN relid IS NOT NULL THEN session_guard.watch_with_current_names(w, relid) END;
            problem := session_guard.shown(relid); replaced := session_guard.watch_replaced_failure(w, relid);
            problems := CASE WHEN relid IS NULL THEN ARRAY[format('watched table %I.%I is gone. Create or restore the table and call session_guard.watch. '
                    'If it is not wanted any more, the extension''s owner deletes its row of session_guard.watch.', w.schema_name, w.table_name)]
                WHEN session_guard.watch_failure(relid, now_named) IS NOT NULL THEN ARRAY[(session_guard.watch_failure(relid, now_named))[2]]
                ELSE ARRAY(SELECT format('%s: %s', problem, p.text) FROM unnest(session_guard.watch_problems(relid, now_named)) AS p (text)) END;
            renames := CASE WHEN replaced IS NOT NULL THEN replaced[2:2] WHEN relid IS NOT NULL AND session_guard.watch_failure(relid, now_named) IS NULL THEN
                CASE WHEN problem <> format('%I.%I', w.schema_name, w.table_name) THEN ARRAY[format('%I.%I has been renamed to %s', w.schema_name, w.table_name, problem)] ELSE '{}' END
                || ARRAY(SELECT format('%s: %I is %I now', problem, o.name, n.name) FROM unnest(ARRAY[w.user_id_column] || w.columns) WITH ORDINALITY AS o (name, n)
                    JOIN unnest(ARRAY[now_named.user_id_column] || now_named.columns) WITH ORDINALITY AS n (name, n) ON n.n = o.n AND n.name <> o.name) ELSE '{}' END;
            ok := problems || renames = '{}'; detail := 'watching ' || problem; remedy := NULL;
            IF ok THEN
                RETURN NEXT;
            END IF;
            FOREACH problem IN ARRAY problems LOOP
                detail := problem;
                remedy := CASE WHEN relid IS NOT NULL AND session_guard.watch_failure(relid, now_named) IS NULL
                    THEN format('SELECT %s;', session_guard.watch_call(session_guard.shown(relid), now_named, name))
                    WHEN relid IS NOT NULL THEN coalesce((session_guard.table_failure(relid))[5], format('SELECT session_guard.unwatch(%L);', session_guard.shown(relid))) END;
                RETURN NEXT;
            END LOOP;
            FOREACH problem IN ARRAY renames LOOP
                detail := problem; remedy := coalesce(replaced[5], format('SELECT session_guard.reconcile(%L);', name));
                RETURN NEXT;
            END LOOP;
        END LOOP;
    END LOOP;
END $$;

-- With a branch for each guard that is there already.
SELECT session_guard.write_functions();

-- In the schema where they are, or at first in the first one of the search_path.
SELECT session_guard.make_app_functions(coalesce(
    (SELECT n.nspname FROM pg_catalog.pg_namespace AS n WHERE n.oid OPERATOR(pg_catalog.=) session_guard.app_schema()), pg_catalog.current_schema()));
