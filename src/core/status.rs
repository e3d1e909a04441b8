//! How the status column says whether an account is active.
//!
//! Pure: takes the column's value, and decides.

/// How the status column is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActiveWhen {
    /// A boolean: active while it is true. NULL: not active.
    True,
    /// A boolean: active while it is false, as `is_disabled` or `banned`. NULL: active.
    False,
    /// Any type: active while it is NULL, as `deleted_at`.
    Null,
}

impl ActiveWhen {
    /// The forms, as `attach` takes them.
    pub const FORMS: [(&'static str, ActiveWhen); 3] =
        [("true", ActiveWhen::True), ("false", ActiveWhen::False), ("null", ActiveWhen::Null)];

    /// The form of this name, if there is one.
    pub fn parse(name: &str) -> Option<ActiveWhen> {
        Self::FORMS.into_iter().find(|(form, _)| *form == name).map(|(_, form)| form)
    }

    /// The form's name.
    pub fn name(self) -> &'static str {
        match self {
            ActiveWhen::True => "true",
            ActiveWhen::False => "false",
            ActiveWhen::Null => "null",
        }
    }

    /// Whether the column must be a boolean.
    pub fn wants_boolean(self) -> bool {
        self != ActiveWhen::Null
    }

    /// Whether an account with this value is active; `None` is NULL.
    ///
    /// For a column that is not a boolean, `Some(true)` stands for any value that is not NULL.
    #[inline]
    pub fn is_active(self, value: Option<bool>) -> bool {
        match self {
            ActiveWhen::True => value == Some(true),
            ActiveWhen::False => value != Some(true),
            ActiveWhen::Null => value.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ActiveWhen;

    #[test]
    fn each_form_decides_each_value() {
        let decide = |form: ActiveWhen| [Some(true), Some(false), None].map(|v| form.is_active(v));
        assert_eq!(decide(ActiveWhen::True), [true, false, false]);
        assert_eq!(decide(ActiveWhen::False), [false, true, true]);
        assert_eq!(decide(ActiveWhen::Null), [false, false, true]);
    }

    #[test]
    fn a_forms_name_reads_back() {
        for (name, form) in ActiveWhen::FORMS {
            assert_eq!(ActiveWhen::parse(name), Some(form));
            assert_eq!(form.name(), name);
        }
        assert_eq!(ActiveWhen::parse("TRUE"), None);
    }
}
