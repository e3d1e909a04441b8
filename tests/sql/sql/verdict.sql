-- session_verdict and session_valid give each verdict in its order, through every overload.
CREATE TABLE ab_user (id serial PRIMARY KEY, active boolean);
INSERT INTO ab_user (active) SELECT true FROM generate_series(1, 3);
CREATE EXTENSION pg_session_guard;

-- disarmed: only where the policy says refuse.
ALTER TABLE ab_user DISABLE TRIGGER session_guard_update;
SELECT session_verdict(1, now());
SELECT session_guard.configure(when_disarmed => 'refuse');
SELECT session_verdict(1, now()), session_verdict(99, now()), session_start(1) IS NULL AS no_login;
SELECT session_guard.configure(when_disarmed => 'live');
SELECT session_guard.reconcile();
SELECT session_verdict(1, now());

-- unknown_user: NULL, no value of the column's type, no such row.
SELECT session_verdict(NULL::bigint, now()), session_verdict(NULL::text, now()), session_verdict(NULL::uuid, now());
SELECT id, session_verdict(id, now())
FROM unnest(ARRAY['abc', '', ' ', '1.0', '1e0', '99999999999', '-1', '9223372036854775808', 'NULL', '1;2', repeat('1', 100000)]) AS id(id)
WHERE length(id) < 50 OR session_verdict(id, now()) <> 'unknown_user';
SELECT session_verdict(99, now()), session_verdict('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, now());

-- A text is read as the column's input function reads it.
SELECT id, session_verdict(id, now()) FROM unnest(ARRAY['1', ' 1 ', '+1', '01', E'\t1\n']) AS id(id);

-- disabled: false or NULL, read live; it comes before revoked.
UPDATE ab_user SET active = false WHERE id = 2;
SELECT session_verdict(2, now()), session_verdict(2, now() + interval '5 s'), session_verdict(2, NULL::timestamptz);
UPDATE ab_user SET active = NULL WHERE id = 2;
SELECT session_verdict(2, now());
UPDATE ab_user SET active = true WHERE id = 2;

-- revoked: before the epoch; NULL and -infinity are before every epoch.
SELECT session_guard.epoch_of(2) AS epoch \gset
SELECT session_verdict(2, :'epoch'::timestamptz - interval '1 microsecond'),
       session_verdict(2, :'epoch'::timestamptz),
       session_verdict(2, date_trunc('second', :'epoch'::timestamptz - interval '1 microsecond')),
       session_verdict(2, NULL::timestamptz), session_verdict(2, '-infinity'::timestamptz);

-- login_in_future: past the clock and the tolerance, and past the epoch.
SELECT session_verdict(1, clock_timestamp() + interval '9 s'), session_verdict(1, clock_timestamp() + interval '15 s'),
       session_verdict(1, 'infinity'::timestamptz), session_verdict(1, '294276-12-31'::timestamptz),
       session_verdict(2, 'infinity'::timestamptz);
SELECT session_guard.configure(future_login_tolerance => '1 min');
SELECT session_verdict(1, clock_timestamp() + interval '59 s'), session_verdict(1, clock_timestamp() + interval '65 s');
SELECT session_guard.configure(future_login_tolerance => '10 s');
-- A login that was given out at an epoch that is ahead is none of the future.
UPDATE session_guard.epoch SET epoch = date_trunc('second', now()) + interval '1 h' WHERE user_id = '2';
SELECT session_verdict(2, session_start(2)), session_verdict(2, session_start(2) + interval '1 s'),
       session_verdict(2, session_start(2) - interval '1 s');

-- valid: also without a login time, until the user is stamped.
SELECT session_verdict(1, now()), session_verdict(1, NULL::timestamptz), session_verdict(1, '-infinity'::timestamptz), session_verdict(1, '4713-01-01 BC'::timestamptz);

-- An infinite epoch, written by hand, lets nobody in.
INSERT INTO session_guard.epoch VALUES ('public.ab_user', '3', 'infinity', 'by hand');
SELECT session_verdict(3, now()), session_verdict(3, 'infinity'::timestamptz);
UPDATE ab_user SET active = false WHERE id = 3;
UPDATE ab_user SET active = true WHERE id = 3;
SELECT session_verdict(3, session_start(3));

-- The guard's epoch counts for everybody.
INSERT INTO session_guard.guard_epoch VALUES ('public.ab_user', date_trunc('second', now()) - interval '1 h', 'by hand');
SELECT session_verdict(1, now()), session_verdict(1, now() - interval '2 h'), session_verdict(1, NULL::timestamptz);
DELETE FROM session_guard.guard_epoch;
SELECT session_verdict(1, NULL::timestamptz);

-- A naive time is UTC, whatever TimeZone says.
SET TimeZone = 'Asia/Tokyo';
SELECT session_verdict(1, now() AT TIME ZONE 'UTC'), session_verdict(1, now()::timestamp);
SET TimeZone = 'America/Los_Angeles';
SELECT session_verdict(1, now() AT TIME ZONE 'UTC'),
       session_verdict(1, (now() AT TIME ZONE 'UTC') + interval '1 h'), session_verdict(1, 'infinity'::timestamp);
RESET TimeZone;

-- Every overload, with the types that drivers send.
SELECT session_valid(1, now()), session_valid(1::smallint, now()), session_valid(1::bigint, now()),
       session_valid('1', now()), session_valid('1'::varchar, now()), session_valid('1', now()::text::timestamptz),
       session_valid(1, now() AT TIME ZONE 'UTC'), session_valid('1', now() AT TIME ZONE 'UTC'),
       session_valid(1, current_date), session_valid('1', '2020-01-01');
SELECT session_valid('ab_user', 1, now()), session_valid('ab_user', '1', now()), session_valid('public.ab_user', '1', '2020-01-01'),
       session_valid('ab_user', 1, now() AT TIME ZONE 'UTC'), session_valid('ab_user', '1', now() AT TIME ZONE 'UTC'),
       session_valid('ab_user', NULL::uuid, now()), session_valid('ab_user', NULL::uuid, now()::timestamp);
SELECT session_valid(NULL::uuid, now()), session_valid(NULL::uuid, now()::timestamp),
       session_verdict(NULL::uuid, now()), session_verdict(NULL::uuid, now()::timestamp);
SELECT session_verdict('ab_user', 1, now()), session_verdict('ab_user', '1', now()), session_verdict('ab_user', NULL::uuid, now()),
       session_verdict('ab_user', 1, now()::timestamp), session_verdict('ab_user', '1', now()::timestamp),
       session_verdict('ab_user', NULL::uuid, now()::timestamp), session_verdict('1', now()::timestamp);
PREPARE untyped AS SELECT session_valid($1, $2);
SELECT parameter_types FROM pg_prepared_statements WHERE name = 'untyped';
EXECUTE untyped('1', now());
SELECT session_start(1) IS NOT NULL, session_start('1') IS NOT NULL, session_start(NULL::uuid) IS NOT NULL,
       session_start('ab_user', 1) IS NOT NULL, session_start('ab_user', '1') IS NOT NULL, session_start('ab_user', NULL::uuid) IS NOT NULL;
SELECT session_guard.epoch_of(2) = session_guard.epoch_of('2'), session_guard.epoch_of('ab_user', 2) = session_guard.epoch_of('ab_user', '2'),
       session_guard.epoch_of(1), session_guard.epoch_of('abc'), session_guard.epoch_of(NULL::uuid), session_guard.epoch_of('ab_user', NULL::uuid);

-- Direct edits count at once.
SELECT session_verdict(1, now());
INSERT INTO session_guard.epoch VALUES ('public.ab_user', '1', clock_timestamp() + interval '1 h', 'by hand');
SELECT session_verdict(1, now());
DELETE FROM session_guard.epoch WHERE user_id = '1';
SELECT session_verdict(1, now());
TRUNCATE session_guard.epoch;
SELECT session_verdict(2, now());

DROP EXTENSION pg_session_guard;
DROP TABLE ab_user;
