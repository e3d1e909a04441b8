//! Statements that write many rows: one that disables a fifth of all accounts, and one that gives a user many permissions.

use crate::measure::{in_turn, seconds};
use crate::result::{Cost, Goal, Line};
use crate::server::{Error, Extent, connect};

/// Against a table that nobody guards, and against triggers in PL/pgSQL.
///
/// # Errors
/// If the server refuses.
pub fn disables(extent: &Extent, costs: &mut Vec<Cost>) -> Result<Vec<Line>, Error> {
    let mut client = connect()?;
    let contenders =
        [("ab_user", false), ("ab_user", true), ("plain_user", false), ("rival_user", false)];
    let found = in_turn(extent.long_rounds, contenders.len(), |contender| {
        let (table, audit) = contenders[contender];
        client.batch_execute(&format!("SELECT session_guard.configure(audit => {audit})"))?;
        client.batch_execute("CHECKPOINT")?;
        let disable = format!("UPDATE {table} SET active = false WHERE id % 5 = 0");
        let taken = seconds(|| client.batch_execute(&disable))? * 1000.0;
        // As it was, without a stamp more than before.
        client.batch_execute("SELECT session_guard.configure(audit => false)")?;
        client.batch_execute(&format!("UPDATE {table} SET active = true WHERE NOT active"))?;
        client.batch_execute("TRUNCATE session_guard.epoch, session_guard.event, rival_epoch")?;
        client.batch_execute(&format!("VACUUM {table}"))?;
        Ok::<f64, Error>(taken)
    })?;
    client.batch_execute("SELECT session_guard.configure(audit => true)")?;
    let [off, on, plain, rival] = found[..] else { return Err("four contenders".into()) };
    let (many, each) = (extent.users / 5, 1e3 / f64::from(extent.users / 5));
    let group = format!("bulk disable: UPDATE of active, {many} rows, for each row");
    costs.extend(Cost::writes(group, on.times(each), plain.times(each)));
    let what = format!("one statement disables {many} of {}", extent.users);
    Ok(vec![
        Line::new(format!("{what}, audit off / not guarded"), off, plain, "ms", Goal::AtMost(3.0)),
        Line::new(format!("{what}, audit on / not guarded"), on, plain, "ms", Goal::AtMost(2.8)),
        Line::new(
            format!("{what}, audit off / PL/pgSQL triggers"),
            off,
            rival,
            "ms",
            Goal::AtMost(0.3),
        ),
    ])
}

/// Disables whose sessions lie in a table of the app: ended by the guard, against the two statements
/// that one would write instead.
///
/// # Errors
/// If the server refuses.
pub fn stored_sessions(extent: &Extent) -> Result<Vec<Line>, Error> {
    const DISABLE: &str = "UPDATE plain_user SET active = false WHERE id % 5 = 0";
    const DELETE: &str =
        "DELETE FROM plain_session WHERE user_id IN (SELECT id FROM plain_user WHERE NOT active)";
    let by_hand = format!("BEGIN; {DISABLE}; {DELETE}; COMMIT");
    let guarded = "UPDATE ab_user SET active = false WHERE id % 5 = 0".to_owned();
    let mut client = connect()?;
    client.batch_execute(
        "CREATE TABLE app_session (user_id int, data text);
         INSERT INTO app_session SELECT id, repeat('x', 100) FROM ab_user;
         CREATE INDEX ON app_session (user_id);
         CREATE TABLE plain_session (LIKE app_session INCLUDING ALL);
         INSERT INTO plain_session SELECT * FROM app_session;
         SELECT session_guard.add_store('app_session', 'user_id', users => 'ab_user');",
    )?;
    let contenders =
        [("ab_user", "app_session", &guarded), ("plain_user", "plain_session", &by_hand)];
    let found = in_turn(extent.long_rounds, contenders.len(), |contender| {
        let (users, sessions, disable) = contenders[contender];
        client.batch_execute("CHECKPOINT")?;
        let taken = seconds(|| client.batch_execute(disable))? * 1000.0;
        let left = client.query_one(&format!("SELECT count(*) FROM {sessions}"), &[])?;
        let active =
            client.query_one(&format!("SELECT count(*) FROM {users} WHERE active"), &[])?;
        if left.get::<_, i64>(0) != active.get::<_, i64>(0) {
            return Err(Error::from("sessions are left"));
        }
        client.batch_execute(&format!("UPDATE {users} SET active = true WHERE NOT active"))?;
        client.batch_execute("TRUNCATE session_guard.epoch, session_guard.event")?;
        client.batch_execute(&format!(
            "INSERT INTO {sessions} SELECT id, repeat('x', 100) FROM {users} WHERE id % 5 = 0"
        ))?;
        client.batch_execute(&format!("VACUUM {users}"))?;
        client.batch_execute(&format!("VACUUM {sessions}"))?;
        Ok::<f64, Error>(taken)
    })?;
    client.batch_execute("SELECT session_guard.remove_store('app_session')")?;
    let what = format!(
        "one statement disables {} of {} and ends a session each / two statements, not guarded",
        extent.users / 5,
        extent.users
    );
    Ok(vec![Line::new(what, found[0], found[1], "ms", Goal::AtMost(3.0))])
}

/// Rows of one user in a watched table, which stamp that user once.
///
/// # Errors
/// If the server refuses.
pub fn related_rows(extent: &Extent) -> Result<Vec<Line>, Error> {
    const ROWS: u32 = 40_000;
    let mut client = connect()?;
    client.batch_execute(
        "CREATE TABLE permission (user_id int, name text);
         CREATE TABLE plain_permission (user_id int, name text);
         SELECT session_guard.watch('permission', 'user_id', users => 'ab_user');",
    )?;
    let tables = ["permission", "plain_permission"];
    let found = in_turn(extent.long_rounds, tables.len(), |table| {
        let table = tables[table];
        let insert =
            format!("INSERT INTO {table} SELECT 7, n::text FROM generate_series(1, {ROWS}) AS n");
        let taken = seconds(|| client.batch_execute(&insert))? * 1000.0;
        client.batch_execute(&format!("TRUNCATE {table}"))?;
        client.batch_execute("TRUNCATE session_guard.guard_epoch")?;
        Ok::<f64, Error>(taken)
    })?;
    let what = format!("one statement inserts {ROWS} rows of one user, watched / not");
    Ok(vec![Line::new(what, found[0], found[1], "ms", Goal::AtMost(3.0))])
}
