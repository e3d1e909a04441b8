//! One statement that disables a fifth of all accounts.

use crate::measure::{in_turn, seconds};
use crate::result::{Goal, Line};
use crate::server::{Error, Extent, connect};

/// Against a table that nobody guards, and against triggers in PL/pgSQL.
///
/// # Errors
/// If the server refuses.
pub fn disables(extent: &Extent) -> Result<Vec<Line>, Error> {
    let mut client = connect()?;
    let contenders =
        [("ab_user", "off"), ("ab_user", "on"), ("plain_user", "off"), ("rival_user", "off")];
    let found = in_turn(extent.long_rounds, contenders.len(), |contender| {
        let (table, audit) = contenders[contender];
        client.batch_execute(&format!("SET session_guard.audit = {audit}"))?;
        client.batch_execute("CHECKPOINT")?;
        let disable = format!("UPDATE {table} SET active = false WHERE id % 5 = 0");
        let taken = seconds(|| client.batch_execute(&disable))? * 1000.0;
        // As it was, without a stamp more than before.
        client.batch_execute("SET session_guard.audit = off")?;
        client.batch_execute(&format!("UPDATE {table} SET active = true WHERE NOT active"))?;
        client.batch_execute("TRUNCATE session_guard.epoch, session_guard.event, rival_epoch")?;
        client.batch_execute(&format!("VACUUM {table}"))?;
        Ok::<f64, Error>(taken)
    })?;
    let [off, on, plain, rival] = found[..] else { return Err("four contenders".into()) };
    let what = format!("one statement disables {} of {}", extent.users / 5, extent.users);
    Ok(vec![
        Line::new(format!("{what}, audit off / not guarded"), off, plain, "ms", Goal::AtMost(3.0)),
        Line::new(format!("{what}, audit on / not guarded"), on, plain, "ms", Goal::AtMost(4.5)),
        Line::new(
            format!("{what}, audit off / PL/pgSQL triggers"),
            off,
            rival,
            "ms",
            Goal::AtMost(0.3),
        ),
    ])
}
