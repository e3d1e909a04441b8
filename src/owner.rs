//! Acting as the owner of the extension's tables, once it is checked that the caller may ask.
//!
//! The functions that administer guards are not SECURITY DEFINER: they must know who calls them.

use crate::compat;
use crate::error::{GuardError, Mistake};
use crate::name::{qualified_name, role_name};
use crate::registry;
use crate::scan::OpenTable;
use pgrx::pg_sys::{self, Oid};
use pgrx::spi::Spi;
use std::ffi::c_int;

/// Refuses a caller who neither owns the table nor is a member of the role that does.
pub fn check_ownership(table: &OpenTable) -> Result<(), GuardError> {
    // SAFETY: the relation is open, so it exists.
    if compat::owns_relation(table.oid(), unsafe { pg_sys::GetUserId() }) {
        return Ok(());
    }
    let name = qualified_name(table.oid());
    Err(GuardError::new(
        Mistake::NotOwner,
        format!("must be owner of table {name}"),
        format!("SET ROLE {};", role_name(owner_of(table))),
    ))
}

/// Refuses a caller who may not change the accounts either.
pub fn check_update(table: &OpenTable) -> Result<(), GuardError> {
    // SAFETY: no precondition.
    let caller = unsafe { pg_sys::GetUserId() };
    // SAFETY: the relation is open, so it exists.
    let answer = unsafe {
        pg_sys::pg_class_aclcheck(table.oid(), caller, pg_sys::ACL_UPDATE as pg_sys::AclMode)
    };
    if answer == pg_sys::AclResult::ACLCHECK_OK {
        return Ok(());
    }
    let name = qualified_name(table.oid());
    let message = format!("must have UPDATE on table {name} to end its sessions");
    let hint = format!("GRANT UPDATE ON {name} TO {};", role_name(caller));
    Err(GuardError::new(Mistake::NotOwner, message, hint))
}

/// Refuses a caller who is no member of the role that created the extension. Asked where there is no
/// table whose owner could be.
pub fn check_administration() -> Result<(), GuardError> {
    const CREATOR: &str =
        "SELECT extowner FROM pg_catalog.pg_extension WHERE extname = 'pg_session_guard'";
    let creator = Spi::connect(|client| {
        client.select(CREATOR, Some(1), &[]).ok()?.first().get_one::<Oid>().ok()?
    });
    let creator = creator.unwrap_or(pg_sys::InvalidOid);
    // SAFETY: no precondition.
    let caller = unsafe { pg_sys::GetUserId() };
    // SAFETY: two OIDs, of which the first is a role.
    if unsafe { pg_sys::has_privs_of_role(caller, creator) } {
        return Ok(());
    }
    let message = "must be the owner of extension pg_session_guard";
    Err(GuardError::new(Mistake::NotOwner, message, format!("SET ROLE {};", role_name(creator))))
}

/// The role that owns the table.
pub fn owner_of(table: &OpenTable) -> Oid {
    // SAFETY: an open relation has its row of pg_class.
    unsafe { (*table.relation().rd_rel).relowner }
}

/// Runs `work` with the rights of the role that owns the extension's tables. An error inside leaves
/// it to the transaction's abort to restore the caller, as with SECURITY DEFINER.
pub fn as_owner<T>(work: impl FnOnce() -> T) -> T {
    let owner = OpenTable::try_open(registry::store().guard, pg_sys::AccessShareLock)
        .map_or(pg_sys::InvalidOid, |table| owner_of(&table));
    let mut caller = pg_sys::InvalidOid;
    let mut context: c_int = 0;
    // SAFETY: fills both.
    unsafe { pg_sys::GetUserIdAndSecContext(&raw mut caller, &raw mut context) };
    let elevated = context | pg_sys::SECURITY_LOCAL_USERID_CHANGE as c_int;
    // SAFETY: the role exists, since it owns a table.
    unsafe { pg_sys::SetUserIdAndSecContext(owner, elevated) };
    let result = work();
    // SAFETY: what was there before.
    unsafe { pg_sys::SetUserIdAndSecContext(caller, context) };
    result
}
