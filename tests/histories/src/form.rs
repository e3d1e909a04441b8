//! The forms of `active_when`: what a status column of each looks like, and the SQL that changes it.

/// A users table whose status column is read in one of the ways that there are.
#[derive(Debug)]
pub struct Form {
    /// As `attach` takes it.
    pub active_when: &'static str,
    /// The type of the column `status`.
    pub column_type: &'static str,
    /// Values of an account that is active, and goes on to be so until somebody writes.
    active: &'static [&'static str],
    /// Values of one that is not.
    disabled: &'static [&'static str],
    /// A condition: the account is active now.
    pub is_active: &'static str,
    /// A condition: its status does not change by itself soon.
    pub is_settled: &'static str,
    /// What happens to an account when a time in its status passes.
    pub change_by_itself: Option<ChangeByItself>,
}

/// What the clock alone does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeByItself {
    /// A ban ends.
    BanEnds,
    /// An account expires.
    Expires,
}

const IS_NOT_SOON: &str =
    "(status BETWEEN clock_timestamp() AND clock_timestamp() + interval '10 min') IS NOT TRUE";

/// All forms.
pub static FORMS: [Form; 6] = [
    Form {
        active_when: "true",
        column_type: "boolean",
        active: &["true"],
        disabled: &["false", "NULL"],
        is_active: "status IS TRUE",
        is_settled: "true",
        change_by_itself: None,
    },
    Form {
        active_when: "past",
        column_type: "timestamptz",
        active: &["NULL", "'-infinity'::timestamptz", "clock_timestamp() - interval '1 hour'"],
        disabled: &["clock_timestamp() + interval '1 hour'", "'infinity'::timestamptz"],
        is_active: "(status > clock_timestamp()) IS NOT TRUE",
        is_settled: IS_NOT_SOON,
        change_by_itself: Some(ChangeByItself::BanEnds),
    },
    Form {
        active_when: "future",
        column_type: "timestamptz",
        active: &["NULL", "'infinity'::timestamptz", "clock_timestamp() + interval '1 hour'"],
        disabled: &["clock_timestamp() - interval '1 s'", "'-infinity'::timestamptz"],
        is_active: "(status <= clock_timestamp()) IS NOT TRUE",
        is_settled: IS_NOT_SOON,
        change_by_itself: Some(ChangeByItself::Expires),
    },
    Form {
        active_when: "{trial,active}",
        column_type: "stage",
        active: &["'trial'::stage", "'active'::stage"],
        disabled: &["'closed'::stage", "NULL"],
        is_active: "coalesce(status IN ('trial', 'active'), false)",
        is_settled: "true",
        change_by_itself: None,
    },
    Form {
        active_when: "false",
        column_type: "boolean",
        active: &["false", "NULL"],
        disabled: &["true"],
        is_active: "status IS NOT TRUE",
        is_settled: "true",
        change_by_itself: None,
    },
    Form {
        active_when: "null",
        column_type: "timestamptz",
        active: &["NULL"],
        disabled: &["clock_timestamp()", "'infinity'::timestamptz"],
        is_active: "status IS NULL",
        is_settled: "true",
        change_by_itself: None,
    },
];

impl Form {
    /// That of a seed: histories take them in turn.
    #[must_use]
    pub fn of_seed(seed: u64) -> &'static Form {
        &FORMS[seed as usize % FORMS.len()]
    }

    /// By what `attach` takes.
    #[must_use]
    pub fn named(active_when: &str) -> Option<&'static Form> {
        FORMS.iter().find(|form| form.active_when == active_when)
    }

    /// A value of an account that is active; which of them, a number says.
    #[must_use]
    pub fn active(&self, which: usize) -> &'static str {
        self.active[which % self.active.len()]
    }

    /// A value of an account that is not.
    #[must_use]
    pub fn disabled(&self, which: usize) -> &'static str {
        self.disabled[which % self.disabled.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_take_the_forms_in_turn() {
        let names: Vec<_> = (0..6).map(|seed| Form::of_seed(seed).active_when).collect();
        assert_eq!(names, FORMS.each_ref().map(|form| form.active_when));
        assert_eq!(Form::of_seed(6).active_when, names[0]);
        assert_eq!(Form::named("past").map(|form| form.column_type), Some("timestamptz"));
        assert!(Form::named("maybe").is_none());
    }
}
