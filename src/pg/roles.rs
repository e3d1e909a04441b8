//! Roles: who calls, and whose rights some work is done with.

use super::names;
use super::relation::{Lock, Relation};
use pgrx::pg_sys::{self, Oid};
use std::ffi::{CStr, c_int};

/// The role whose rights the caller has now.
pub fn current_role() -> Oid {
    // SAFETY: reads a variable.
    unsafe { pg_sys::GetUserId() }
}

/// The role that logged in to the server.
pub fn login_role() -> Oid {
    // SAFETY: reads a variable.
    unsafe { pg_sys::GetSessionUserId() }
}

/// Whom SET ROLE has made of that; not the owner of a SECURITY DEFINER function.
pub fn acting_role() -> Oid {
    // SAFETY: reads a variable.
    unsafe { pg_sys::GetOuterUserId() }
}

/// Whether `member` has the rights of `role`.
pub fn has_rights_of(member: Oid, role: Oid) -> bool {
    // SAFETY: two OIDs of roles.
    unsafe { pg_sys::has_privs_of_role(member, role) }
}

/// The role of this name.
pub fn role_named(name: &str) -> Option<Oid> {
    let name = names::to_server(name);
    // SAFETY: looks up the system cache; zero comes back for a name that is no role's.
    let role = unsafe { pg_sys::get_role_oid(name.as_ptr(), true) };
    (role != pg_sys::InvalidOid).then_some(role)
}

/// A role's bare name as the server has it, or its number where it is gone.
fn name_bytes(role: Oid) -> Vec<u8> {
    // SAFETY: any OID may be asked for; NULL comes back for one that is no role.
    let name = unsafe { pg_sys::GetUserNameFromId(role, true) };
    if name.is_null() {
        return role.to_u32().to_string().into_bytes();
    }
    // SAFETY: a name that the catalogs gave out is NUL-terminated.
    unsafe { CStr::from_ptr(name) }.to_bytes().to_vec()
}

/// A role's bare name.
pub fn role_name(role: Oid) -> String {
    names::from_server(&name_bytes(role))
}

/// A role's bare name in the database's encoding, for the record.
pub fn recorded_name_bytes(role: Oid) -> Vec<u8> {
    names::in_encoding(name_bytes(role))
}

/// A role's bare name as a row of this database has it in a column of type `name`.
pub fn recorded_name(role: Oid) -> String {
    names::from_server(&names::clipped_name(recorded_name_bytes(role)))
}

/// A role's name for people, quoted where that is needed.
pub fn shown_role(role: Oid) -> String {
    names::shown_identifier(&role_name(role))
}

/// The role that owns the extension's tables.
pub fn tables_owner() -> Option<Oid> {
    Relation::open(names::extension_relation(c"guard")?, Lock::Read).map(|table| table.owner())
}

/// Runs `work` with the rights of `role`. An error inside leaves it to the transaction's abort to
/// restore the caller, as with SECURITY DEFINER.
pub fn with_rights_of<T>(role: Oid, work: impl FnOnce() -> T) -> T {
    let (_, context) = user_and_context();
    run_in(role, context | pg_sys::SECURITY_LOCAL_USERID_CHANGE as c_int, work)
}

/// Runs `work`, which is the library's own, as the role that COMMIT has, and in no security
/// context.
pub(super) fn as_acting_role<T>(work: impl FnOnce() -> T) -> T {
    run_in(acting_role(), 0, work)
}

/// Runs `work` as this role, which exists, in this security context.
fn run_in<T>(role: Oid, within: c_int, work: impl FnOnce() -> T) -> T {
    let (caller, context) = user_and_context();
    // SAFETY: a role that exists; after an error the abort restores both.
    unsafe { pg_sys::SetUserIdAndSecContext(role, within) };
    let result = work();
    // SAFETY: what was there before.
    unsafe { pg_sys::SetUserIdAndSecContext(caller, context) };
    result
}

/// Whose rights count now, and in what security context.
pub(super) fn user_and_context() -> (Oid, c_int) {
    let (mut user, mut context) = (pg_sys::InvalidOid, 0);
    // SAFETY: fills both.
    unsafe { pg_sys::GetUserIdAndSecContext(&raw mut user, &raw mut context) };
    (user, context)
}

/// Runs `work` so that what it grants does not count as part of an extension that is being created:
/// pg_dump leaves such grants out, and a restored extension does not make them again.
pub fn outside_of_create_extension(work: impl FnOnce()) {
    // SAFETY: a flag of this backend, which nobody else reads meanwhile.
    let was_creating = unsafe { pg_sys::creating_extension };
    // SAFETY: as above; after an error PostgreSQL sets it itself.
    unsafe { pg_sys::creating_extension = false };
    work();
    // SAFETY: as above.
    unsafe { pg_sys::creating_extension = was_creating };
}
