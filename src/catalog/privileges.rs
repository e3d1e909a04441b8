//! Who may do what.

use super::{extension, hints};
use crate::error::{ErrorKind, GuardError, Hint};
use crate::pg::relation::Relation;
use crate::pg::roles::{current_role, has_rights_of, shown_role, tables_owner, with_rights_of};

/// Refuses a caller who neither owns the table nor has the rights of the role that does.
pub fn check_ownership(table: &Relation) -> Result<(), GuardError> {
    if table.is_owned_by(current_role()) {
        return Ok(());
    }
    let message = format!("must be owner of table {}", table.shown_name());
    let hint = hints::set_role(&shown_role(table.owner()));
    Err(GuardError::new(ErrorKind::NotPermitted, message, hint))
}

/// Refuses a caller who may not change the accounts either.
pub fn check_update(table: &Relation) -> Result<(), GuardError> {
    let caller = current_role();
    if table.is_updatable_by(caller) {
        return Ok(());
    }
    let name = table.name();
    let message = format!("must have UPDATE on table {} to end its sessions", name.shown());
    let statement = format!("GRANT UPDATE ON {} TO {};", name.shown(), shown_role(caller));
    let hint = Hint::run("The table's owner grants it by", statement);
    Err(GuardError::new(ErrorKind::NotPermitted, message, hint))
}

/// Whether the caller administers the extension.
pub fn is_extension_owner() -> bool {
    extension::owner().is_some_and(|owner| has_rights_of(current_role(), owner))
}

/// Refuses a caller who does not have the rights of the role that owns the extension.
pub fn check_administration() -> Result<(), GuardError> {
    if is_extension_owner() {
        return Ok(());
    }
    let message = "must be owner of extension pg_session_guard";
    let owner = extension::owner().map_or(String::new(), shown_role);
    Err(GuardError::new(ErrorKind::NotPermitted, message, hints::set_role(&owner)))
}

/// Runs `work` with the rights of the role that owns the extension's tables.
pub fn as_tables_owner<T>(work: impl FnOnce() -> T) -> T {
    with_rights_of(tables_owner().unwrap_or_else(current_role), work)
}
