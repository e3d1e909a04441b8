//! Tests that run inside the server: properties over tens of thousands of calls.

#[pgrx::pg_schema]
mod tests {
    use pgrx::datum::DatumWithOid;
    use pgrx::pg_sys;
    use pgrx::prelude::*;
    use pgrx::spi::{OwnedPreparedStatement, Spi};
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, TestRunner};

    const CASES: u32 = 20_000;

    fn runner() -> TestRunner {
        TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() })
    }

    /// Guards a table for each type of id, each with the same few accounts.
    fn guard_tables() {
        Spi::run(
            "CREATE TABLE by_int2 (id int2 PRIMARY KEY, active boolean);
             CREATE TABLE by_int4 (id int4 PRIMARY KEY, active boolean);
             CREATE TABLE by_int8 (id int8 PRIMARY KEY, active boolean);
             CREATE TABLE by_uuid (id uuid PRIMARY KEY, active boolean);
             CREATE TABLE by_text (id text PRIMARY KEY, active boolean);
             CREATE TABLE by_varchar (id varchar PRIMARY KEY, active boolean);
             INSERT INTO by_int2 SELECT n, n % 5 > 0 FROM generate_series(-99, 99) AS n;
             INSERT INTO by_int4 SELECT n, n % 5 > 0 FROM generate_series(-999, 9999) AS n;
             INSERT INTO by_int8 SELECT n, n % 5 > 0 FROM generate_series(-999, 9999) AS n;
             INSERT INTO by_uuid SELECT lpad(to_hex(n), 32, '0')::uuid, n % 5 > 0 FROM generate_series(0, 255) AS n;
             INSERT INTO by_text SELECT n::text, n % 5 > 0 FROM generate_series(-99, 999) AS n;
             INSERT INTO by_varchar SELECT n::text, n % 5 > 0 FROM generate_series(-99, 999) AS n;
             SELECT session_guard.attach('by_int4'), session_guard.attach('by_int2'),
                    session_guard.attach('by_int8'), session_guard.attach('by_uuid'),
                    session_guard.attach('by_text'), session_guard.attach('by_varchar');",
        )
        .unwrap();
    }

    const TABLES: [&str; 6] = ["by_int2", "by_int4", "by_int8", "by_uuid", "by_text", "by_varchar"];

    fn prepare(query: &str, types: &[pg_sys::Oid]) -> OwnedPreparedStatement {
        let types: Vec<pgrx::PgOid> = types.iter().map(|oid| pgrx::PgOid::from(*oid)).collect();
        Spi::connect(|client| client.prepare(query, &types).unwrap().keep())
    }

    fn ask<T: FromDatum + IntoDatum>(
        statement: &OwnedPreparedStatement,
        arguments: &[DatumWithOid],
    ) -> Option<T> {
        Spi::connect(|client| {
            client.select(statement, Some(1), arguments).unwrap().first().get_one::<T>().unwrap()
        })
    }

    /// A statement that asks every guard about one id, and answers with all verdicts.
    fn verdicts_of(
        id_type: &str,
        time_type: &str,
        id: pg_sys::Oid,
        time: pg_sys::Oid,
    ) -> OwnedPreparedStatement {
        let named = TABLES.map(|table| {
            format!("session_verdict('{table}', $1::{id_type}, $2::{time_type}), (session_valid('{table}', $1::{id_type}, $2::{time_type}))::text")
        });
        let query = format!(
            "SELECT ARRAY[session_verdict($1::{id_type}, $2::{time_type}), session_valid($1::{id_type}, $2::{time_type})::text, {}]",
            named.join(", ")
        );
        prepare(&query, &[id, time])
    }

    /// Seven verdicts, and after each whether the session is valid: the two agree, and none is NULL.
    fn check(answer: Option<Vec<Option<String>>>) -> Result<(), TestCaseError> {
        let answer = answer.expect("an array");
        prop_assert_eq!(answer.len(), 14);
        for pair in answer.chunks(2) {
            let verdict = pair[0].as_deref().expect("a verdict");
            let valid = pair[1].as_deref().expect("true or false");
            let known = ["valid", "unknown_user", "disabled", "revoked", "login_in_future"];
            prop_assert!(known.contains(&verdict), "{}", verdict);
            prop_assert_eq!(valid == "true", verdict == "valid");
        }
        Ok(())
    }

    /// Any microseconds that a timestamp can hold, the ends of the calendar, and the infinities.
    fn login() -> impl Strategy<Value = Option<i64>> {
        const FIRST: i64 = -211_813_488_000_000_000;
        const LAST: i64 = 9_223_371_331_199_999_999;
        proptest::option::weighted(
            0.95,
            prop_oneof![
                FIRST..=LAST,
                800_000_000_000_000i64..900_000_000_000_000,
                Just(i64::MIN),
                Just(i64::MAX),
                Just(FIRST),
                Just(LAST),
                Just(0i64),
            ],
        )
    }

    fn micros(login: Option<i64>, oid: pg_sys::Oid) -> DatumWithOid<'static> {
        // SAFETY: a timestamp of either kind is its microseconds.
        unsafe { DatumWithOid::new(login, oid) }
    }

    const TIMES: [(&str, pg_sys::Oid); 2] =
        [("timestamptz", pg_sys::TIMESTAMPTZOID), ("timestamp", pg_sys::TIMESTAMPOID)];

    #[pg_test]
    fn every_integer_id_and_login_time_gets_an_answer() {
        guard_tables();
        for (time_type, time) in TIMES {
            let statement = verdicts_of("bigint", time_type, pg_sys::INT8OID, time);
            let ids = proptest::option::weighted(
                0.95,
                prop_oneof![
                    any::<i64>(),
                    -200i64..200,
                    Just(i64::MIN),
                    Just(i64::MAX),
                    -40000i64..40000
                ],
            );
            runner()
                .run(&(ids, login()), |(id, login)| {
                    check(ask(&statement, &[id.into(), micros(login, time)]))
                })
                .unwrap();
        }
    }

    #[pg_test]
    fn every_uuid_and_login_time_gets_an_answer() {
        guard_tables();
        for (time_type, time) in TIMES {
            let statement = verdicts_of("uuid", time_type, pg_sys::UUIDOID, time);
            let ids = proptest::option::weighted(
                0.95,
                prop_oneof![any::<u128>(), (0u128..300)]
                    .prop_map(|id| pgrx::Uuid::from_bytes(id.to_be_bytes())),
            );
            runner()
                .run(&(ids, login()), |(id, login)| {
                    check(ask(&statement, &[id.into(), micros(login, time)]))
                })
                .unwrap();
        }
    }

    /// Texts of all kinds: near an integer, near a UUID, anything, and long.
    fn text_id() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "[ \t\n\u{b}\u{c}\r]{0,2}[+-]{0,2}[0-9]{0,6}[ \t\n]{0,2}",
            2 => "[ ]{0,1}[+-]{0,1}0{0,1}[xXoObB_]{0,1}[0-9a-fA-F_]{0,5}[ ]{0,1}",
            1 => "[+-]{0,1}[0-9]{15,25}",
            2 => "[{]{0,1}0{8}-{0,1}0{4}-{0,1}0{4}-{0,1}0{4}-{0,1}0{10}[0-9a-fA-F]{1,3}[}]{0,1}",
            1 => "[{}0-9a-fA-F-]{30,40}",
            2 => "[^\0]{0,20}",
            1 => Just(String::new()),
            1 => (1usize..30_000).prop_map(|length| "7".repeat(length)),
        ]
    }

    #[pg_test]
    fn every_text_id_and_login_time_gets_an_answer() {
        guard_tables();
        for (time_type, time) in TIMES {
            let statement = verdicts_of("text", time_type, pg_sys::TEXTOID, time);
            runner()
                .run(&(proptest::option::weighted(0.98, text_id()), login()), |(id, login)| {
                    check(ask(&statement, &[id.into(), micros(login, time)]))
                })
                .unwrap();
        }
    }

    #[pg_test]
    fn a_text_is_read_as_the_columns_input_function_reads_it() {
        guard_tables();
        Spi::run(
            "CREATE FUNCTION finds(t text, column_type text, users regclass) RETURNS boolean
             LANGUAGE plpgsql AS $$
             DECLARE found boolean;
             BEGIN
                 EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE id = %L::%s)', users, t, column_type) INTO found;
                 RETURN found;
             EXCEPTION WHEN data_exception THEN
                 RETURN false;
             END $$;",
        )
        .unwrap();
        let statement = prepare(
            "SELECT bool_and(finds($1, column_type, users)
                             = (session_verdict(users, $1, now()) <> 'unknown_user'))
             FROM (VALUES ('int2', 'by_int2'::regclass), ('int4', 'by_int4'), ('int8', 'by_int8'),
                          ('uuid', 'by_uuid'), ('text', 'by_text')) AS t(column_type, users)",
            &[pg_sys::TEXTOID],
        );
        let mut found = 0;
        let is_found = prepare(
            "SELECT session_verdict('by_int4', $1, now()) <> 'unknown_user'",
            &[pg_sys::TEXTOID],
        );
        let runner = &mut TestRunner::new(Config {
            cases: CASES / 10,
            failure_persistence: None,
            ..Config::default()
        });
        for _ in 0..CASES / 10 {
            let id = text_id().new_tree(runner).unwrap().current();
            assert_eq!(ask::<bool>(&statement, &[id.as_str().into()]), Some(true), "{id:?}");
            found += i32::from(ask::<bool>(&is_found, &[id.as_str().into()]) == Some(true));
        }
        assert!(found > 100, "only {found} texts named an account: the test would show nothing");
    }

    /// Texts near a number with a unit, and anything else, for a setting in milliseconds.
    fn setting_value() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "[ ]{0,1}[+-]{0,1}[0-9]{1,12}[ ]{0,1}(ms|us|s|min|h|d|kB|MS|)[ ]{0,1}",
            2 => "[0-9]{0,3}[.][0-9]{0,3}(e[0-9]{1,3}){0,1}(ms|s|min|h|d|)",
            1 => "0[xX]{0,1}[0-9a-fA-F]{1,9}",
            1 => "(live|refuse|LIVE|on|off|NaN|inf|-1|0|86400000|86400001|1 d|24 h|)",
            2 => "[^\0]{0,20}",
        ]
    }

    #[pg_test]
    fn a_setting_takes_what_is_in_its_range_and_refuses_the_rest() {
        guard_tables();
        Spi::run(
            "CREATE FUNCTION try_setting(setting text, value text) RETURNS text LANGUAGE plpgsql AS $$
             BEGIN
                 PERFORM set_config(setting, value, false);
                 RETURN 'taken';
             EXCEPTION WHEN OTHERS THEN
                 RETURN SQLSTATE;
             END $$;",
        )
        .unwrap();
        let try_setting =
            prepare("SELECT try_setting($1, $2)", &[pg_sys::TEXTOID, pg_sys::TEXTOID]);
        let are_in_range = prepare(
            "SELECT bool_and(CASE vartype
                 WHEN 'integer' THEN setting::bigint BETWEEN min_val::bigint AND max_val::bigint
                 WHEN 'enum' THEN setting = ANY (enumvals)
                 ELSE setting IN ('on', 'off') END)
             FROM pg_settings WHERE name LIKE 'session\\_guard.%'",
            &[],
        );
        let settings = ["future_login_tolerance", "stamp_margin", "when_disarmed"];
        let tries = (prop::sample::select(settings.to_vec()), setting_value());
        let (mut taken, mut refused) = (0, 0);
        let runner = &mut runner();
        for _ in 0..CASES / 10 {
            let (setting, value) = tries.new_tree(runner).unwrap().current();
            let setting = format!("session_guard.{setting}");
            let arguments = [setting.as_str().into(), value.as_str().into()];
            match ask::<String>(&try_setting, &arguments).as_deref() {
                Some("taken") => taken += 1,
                Some("22023") => refused += 1,
                other => panic!("{setting} = {value:?}: {other:?}"),
            }
            assert_eq!(ask::<bool>(&are_in_range, &[]), Some(true), "{setting} = {value:?}");
            // What was taken must do no harm either.
            Spi::run("UPDATE by_int4 SET active = NOT active WHERE id = 7; SELECT session_valid(7, now());")
                .unwrap();
        }
        assert!(taken > 100 && refused > 100, "{taken} taken, {refused} refused");
    }
}
