//! Why epochs are raised.

use crate::pg::names::clipped_text;

/// Of what somebody says, in characters: a text may be longer than a row can hold.
const LONGEST: usize = 1_000_000;

/// Why an epoch was raised, as the tables record it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason<'a> {
    /// The account was disabled.
    Disabled,
    /// The account was enabled again.
    Enabled,
    /// The row was deleted.
    Deleted,
    /// The row got another id; both are stamped.
    IdChanged,
    /// A row was inserted with an id that has an epoch.
    Recreated,
    /// The table was truncated.
    Truncated,
    /// A column of `revoke_on` changed: its name, in the database's encoding.
    Column(&'a [u8]),
    /// A row of this related table changed that belongs to the user.
    Related(&'a [u8]),
    /// Somebody asked for it, for this reason, in the database's encoding.
    Admin(&'a [u8]),
    /// A ban ran out by itself, and the row does not say any more when.
    BanEnded,
    /// The trigger fired on a change that the guard no longer names.
    Changed,
}

impl<'a> Reason<'a> {
    /// Somebody asked for it, and may have said why.
    pub fn asked_for(why: Option<&'a [u8]>) -> Reason<'a> {
        Reason::Admin(clipped_text(why.unwrap_or_default(), LONGEST))
    }

    /// As it is recorded: the parts of one text.
    pub fn parts(self) -> [&'a [u8]; 2] {
        match self {
            Reason::Disabled => [b"disabled", b""],
            Reason::Enabled => [b"enabled", b""],
            Reason::Deleted => [b"deleted", b""],
            Reason::IdChanged => [b"id_changed", b""],
            Reason::Recreated => [b"recreated", b""],
            Reason::Truncated => [b"truncated", b""],
            Reason::BanEnded => [b"ban_ended", b""],
            Reason::Changed => [b"changed", b""],
            Reason::Admin(b"" | b"admin") => [b"admin", b""],
            Reason::Admin(why) => [b"admin: ", why],
            Reason::Related(name) => [b"related:", name],
            Reason::Column(name) => [b"column:", name],
        }
    }
}
