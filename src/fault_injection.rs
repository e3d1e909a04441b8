//! Faults that a build for tests can be made to have, so that the tests which must find them are
//! seen to find them. Without the feature `fault_injection` there are none, and nothing of this is
//! left in the library.

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "fault_injection", derive(pgrx::PostgresGucEnum))]
pub enum Fault {
    /// As it should be.
    #[cfg(feature = "fault_injection")]
    #[name = c"none"]
    None,
    /// Epochs are taken from the time when the transaction began.
    #[cfg_attr(feature = "fault_injection", name = c"stamp_from_now")]
    StampFromNow,
    /// Rows are read with the snapshot of the caller.
    #[cfg_attr(feature = "fault_injection", name = c"callers_snapshot")]
    CallersSnapshot,
    /// An account that is enabled again is not stamped.
    #[cfg_attr(feature = "fault_injection", name = c"no_stamp_at_enable")]
    NoStampAtEnable,
    /// A login does not wait for who changes the account.
    #[cfg_attr(feature = "fault_injection", name = c"login_without_lock")]
    LoginWithoutLock,
    /// A login at its epoch is refused.
    #[cfg_attr(feature = "fault_injection", name = c"epoch_inclusive")]
    EpochInclusive,
    /// Invalidations of others are not accepted before a call is answered from the cache.
    #[cfg_attr(feature = "fault_injection", name = c"invalidations_not_accepted")]
    InvalidationsNotAccepted,
    /// What was read is kept also if it has been invalidated meanwhile.
    #[cfg_attr(feature = "fault_injection", name = c"outdated_kept")]
    OutdatedKept,
}

#[cfg(feature = "fault_injection")]
mod setting {
    use super::Fault;
    use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};

    static FAULT: GucSetting<Fault> = GucSetting::<Fault>::new(Fault::None);

    /// Defines the setting. Called once, when the library is loaded.
    pub fn define() {
        GucRegistry::define_enum_guc(
            c"session_guard.fault",
            c"The fault that this build for tests has.",
            c"Tests that must find it are shown to find it.",
            &FAULT,
            GucContext::Suset,
            GucFlags::default(),
        );
    }

    /// Whether the build has this fault now.
    pub fn has(fault: Fault) -> bool {
        FAULT.get() == fault
    }
}

#[cfg(not(feature = "fault_injection"))]
mod setting {
    /// There is none.
    pub const fn define() {}

    /// Never.
    pub const fn has(_fault: super::Fault) -> bool {
        false
    }
}

pub use setting::{define, has};
