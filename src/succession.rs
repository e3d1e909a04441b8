//! Epochs that a table has from earlier, when it is attached: from a table that had its name, or from
//! when its ids were of another type.

use crate::name::qualified_name;
use crate::registry;
use crate::scan::{OpenTable, key};
use crate::statement::{relation, run_once, text};
use crate::user_id::{IdType, UserId};
use pgrx::pg_sys::{self, Oid};

/// Epochs of a table that was dropped go to its successor of the same name. Those of one that only
/// lost the name are copied: too many refuse a session, too few revive one.
pub fn take_over(relid: Oid) {
    let name = qualified_name(relid);
    let known = registry::known_tables().into_iter();
    for (predecessor, _) in known.filter(|(known, known_as)| *known != relid && *known_as == name) {
        let is_gone = OpenTable::try_open(predecessor, pg_sys::AccessShareLock).is_none();
        let both = [relation(relid), relation(predecessor)];
        run_once(
            "INSERT INTO session_guard.epoch AS e (guard, user_id, epoch, reason, stamped_at)
             SELECT $1, user_id, epoch, reason, stamped_at FROM session_guard.epoch WHERE guard = $2
             ON CONFLICT (guard, user_id) DO UPDATE SET epoch = GREATEST(e.epoch, EXCLUDED.epoch)",
            &both,
        );
        run_once(
            "INSERT INTO session_guard.guard_epoch AS e (guard, table_name, epoch, reason, stamped_at)
             SELECT $1, table_name, epoch, reason, stamped_at FROM session_guard.guard_epoch WHERE guard = $2
             ON CONFLICT (guard) DO UPDATE SET epoch = GREATEST(e.epoch, EXCLUDED.epoch)",
            &both,
        );
        if is_gone {
            run_once(
                "UPDATE session_guard.guard SET guard = $1 WHERE guard = $2
                 AND NOT EXISTS (SELECT FROM session_guard.guard WHERE guard = $1)",
                &both,
            );
            for table in ["epoch", "guard_epoch", "guard"] {
                let delete = format!("DELETE FROM session_guard.{table} WHERE guard = $1");
                run_once(&delete, &[relation(predecessor)]);
            }
        }
    }
}

/// Epochs are kept by the id's text. Where the column's type has changed since, the same id may be
/// written otherwise (a UUID in capitals, an integer with a leading zero), and its epoch has to be found by the new text.
pub fn rekey(relid: Oid, id_type: IdType) {
    for (old, new) in misspelt_keys(relid, id_type) {
        run_once(
            "INSERT INTO session_guard.epoch AS e (guard, user_id, epoch, reason, stamped_at)
             SELECT guard, $3, epoch, reason, stamped_at FROM session_guard.epoch
             WHERE guard = $1 AND user_id = $2
             ON CONFLICT (guard, user_id) DO UPDATE SET epoch = GREATEST(e.epoch, EXCLUDED.epoch)",
            &[relation(relid), text(&old), text(&new)],
        );
    }
}

/// Keys that a column of this type writes otherwise, each with how it does.
fn misspelt_keys(relid: Oid, id_type: IdType) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut keys = [key(1, pg_sys::F_OIDEQ, pg_sys::InvalidOid, relid.into())];
    let store = registry::store();
    let mut misspelt = Vec::new();
    let Some(epochs) = OpenTable::try_open(store.epoch, pg_sys::AccessShareLock) else {
        return misspelt;
    };
    epochs.scan(Some(store.epoch_key), &mut keys, |row| {
        let Some(UserId::Text(old)) = row.id(2, IdType::Text) else { return };
        let id = UserId::Text(old.clone()).in_column(id_type);
        if let Some(new) = id.map(UserId::into_key).filter(|new| *new != old) {
            misspelt.push((old.into_owned(), new.into_owned()));
        }
    });
    misspelt
}
