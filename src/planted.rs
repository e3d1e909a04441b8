//! Faults that a build for tests can be told to have, so that the tests which must find them can be
//! seen to do so. Without the feature `planted_faults` there are none, and nothing of this is left in
//! the library.

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "planted_faults", derive(pgrx::PostgresGucEnum))]
pub enum Fault {
    /// As it should be.
    #[cfg(feature = "planted_faults")]
    #[name = c"none"]
    None,
    /// Epochs are taken from the time when the transaction began.
    #[cfg_attr(feature = "planted_faults", name = c"stamp_from_now")]
    StampFromNow,
    /// Rows are read with the snapshot of the caller.
    #[cfg_attr(feature = "planted_faults", name = c"callers_snapshot")]
    CallersSnapshot,
    /// An account that is enabled again is not stamped.
    #[cfg_attr(feature = "planted_faults", name = c"no_stamp_at_enable")]
    NoStampAtEnable,
    /// A login at its epoch is refused.
    #[cfg_attr(feature = "planted_faults", name = c"epoch_inclusive")]
    EpochInclusive,
    /// What others have committed is not taken in before a call is answered from the cache.
    #[cfg_attr(feature = "planted_faults", name = c"news_not_accepted")]
    NewsNotAccepted,
    /// What was read is kept also if it has been outdated meanwhile.
    #[cfg_attr(feature = "planted_faults", name = c"outdated_kept")]
    OutdatedKept,
}

#[cfg(feature = "planted_faults")]
mod setting {
    use super::Fault;
    use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};

    static PLANTED_FAULT: GucSetting<Fault> = GucSetting::<Fault>::new(Fault::None);

    /// Makes the setting known. Called once, when the library is loaded.
    pub fn define() {
        GucRegistry::define_enum_guc(
            c"session_guard.planted_fault",
            c"The fault that this build for tests has.",
            c"Tests that must find it are shown to do so.",
            &PLANTED_FAULT,
            GucContext::Suset,
            GucFlags::default(),
        );
    }

    /// Whether this fault is planted.
    pub fn has(fault: Fault) -> bool {
        PLANTED_FAULT.get() == fault
    }
}

#[cfg(not(feature = "planted_faults"))]
mod setting {
    /// There is none.
    pub const fn define() {}

    /// Never.
    pub const fn has(_fault: super::Fault) -> bool {
        false
    }
}

pub use setting::{define, has};
