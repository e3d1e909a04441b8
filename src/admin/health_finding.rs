//! A check's result, and the row of `health()` that it makes.

use crate::catalog::guard::GuardRow;
use crate::error::{GuardError, Hint};
use crate::pg::datum::ServerText;

/// A check's result.
pub struct Finding {
    guard: Option<String>,
    check: &'static str,
    problem: Option<Hint>,
    detail: String,
}

impl Finding {
    /// Nothing is wrong.
    pub fn ok(check: &'static str, detail: impl Into<String>) -> Finding {
        Finding { guard: None, check, problem: None, detail: detail.into() }
    }

    /// Something is, and this is what to do.
    pub fn wrong(check: &'static str, detail: impl Into<String>, hint: Hint) -> Finding {
        Finding { guard: None, check, problem: Some(hint), detail: detail.into() }
    }

    /// What a call would raise.
    pub fn of_error(check: &'static str, error: GuardError) -> Finding {
        Finding::wrong(check, error.message, error.hint)
    }

    /// The same, of one guard.
    pub fn of_guard(mut self, row: &GuardRow) -> Finding {
        self.guard = Some(row.name.clone());
        self
    }
}

/// The columns of `health()`.
pub type Row = (Option<ServerText>, String, bool, ServerText, Option<ServerText>);

impl From<Finding> for Row {
    fn from(finding: Finding) -> Row {
        let is_ok = finding.problem.is_none();
        // What to do where there is no statement stands in the detail.
        let (advice, remedy) = match finding.problem {
            Some(hint) => (Some(hint.text()), hint.statement()),
            None => (None, None),
        };
        let detail = match (&remedy, advice) {
            (None, Some(advice)) => format!("{}. {advice}", finding.detail),
            _ => finding.detail,
        };
        (
            finding.guard.map(ServerText),
            finding.check.to_owned(),
            is_ok,
            ServerText(detail),
            remedy.map(ServerText),
        )
    }
}
