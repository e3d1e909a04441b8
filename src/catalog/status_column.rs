//! The status column: which forms of `active_when` fit its type, and what a row says of an account.

use super::hints;
use crate::core::epoch::Instant;
use crate::core::status::{Account, ActiveWhen, StatusValue};
use crate::error::{ErrorKind, GuardError, Hint};
use crate::pg::names::{quote_literal, shown_identifier, shown_type};
use crate::pg::relation::{Column, Relation};
use crate::pg::status_value::StatusReader;
use crate::pg::tuple::Tuple;
use crate::pg::when_clause::Comparison;

/// The status column, and how it is read.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusColumn {
    /// How it is read.
    pub active_when: ActiveWhen,
    reader: StatusReader,
}

impl StatusColumn {
    /// The column, if it can be read so. What a list names, and the column's type does not have,
    /// is no value of any row.
    pub fn new(table: &Relation, column: &Column, active_when: &str) -> Result<Self, GuardError> {
        let Some(form) = ActiveWhen::parse(active_when) else {
            let message = "active_when must be true, false, null, past, future, or a list of \
                           values such as {active,trial}";
            let hint = forms_that_fit(table, column);
            return Err(GuardError::new(ErrorKind::InvalidValue, message, hint));
        };
        match StatusReader::new(column, &form) {
            Some(reader) => Ok(StatusColumn { active_when: form, reader }),
            None => Err(misfit(table, column, &form)),
        }
    }

    /// The same for `attach`, which takes no list that cannot have been meant.
    pub fn checked(
        table: &Relation,
        column: &Column,
        active_when: &str,
    ) -> Result<Self, GuardError> {
        let status = Self::new(table, column, active_when)?;
        let Some(unknown) = status.unknown_values().first() else { return Ok(status) };
        let message = format!(
            "{} is no value of column {} of table {}",
            quote_literal(unknown),
            shown_identifier(&column.name),
            table.shown_name()
        );
        let detail = format!("The column is of type {}.", shown_type(column.type_oid));
        let sentence = "List values that the column can have";
        let hint = match status.reader.enum_type() {
            Some(name) => Hint::run(
                format!("{sentence}. Those of its type are listed by"),
                format!("SELECT pg_catalog.enum_range(NULL::{name});"),
            ),
            None => Hint::advice(format!("{sentence}.")),
        };
        Err(GuardError::new(ErrorKind::InvalidValue, message, hint).detail(detail))
    }

    /// The same column of a partition.
    pub fn in_partition(&self, root: &Relation, partition: &Relation) -> Option<StatusColumn> {
        let column = partition.column_named(&root.column_name(self.attno()))?;
        StatusColumn::new(partition, &column, &self.active_when.to_string()).ok()
    }

    /// The column's number.
    pub fn attno(&self) -> i16 {
        self.reader.attno()
    }

    /// What is listed, and the column's type does not have.
    pub fn unknown_values(&self) -> &[String] {
        self.reader.unknown_values()
    }

    /// The value of a row of the table.
    pub fn value(&self, row: &Tuple) -> StatusValue {
        self.reader.read(row)
    }

    /// What a row of the table says of its account. The clock is read only where it counts.
    pub fn account(&self, row: &Tuple, clock: impl Fn() -> Instant) -> Account {
        self.active_when.account(self.value(row), clock)
    }

    /// What the update trigger compares.
    pub fn comparison(&self) -> Comparison {
        match self.active_when {
            ActiveWhen::True | ActiveWhen::False => Comparison::IsTrue(self.attno()),
            ActiveWhen::Null => Comparison::IsNull(self.attno()),
            ActiveWhen::Past | ActiveWhen::Future | ActiveWhen::OneOf(_) => {
                Comparison::Image(self.attno())
            }
        }
    }
}

fn misfit(table: &Relation, column: &Column, form: &ActiveWhen) -> GuardError {
    let message = format!(
        "active_when => {} does not fit column {} of table {}",
        quote_literal(&form.to_string()),
        shown_identifier(&column.name),
        table.shown_name()
    );
    let detail = match column.is_virtual {
        true => "The column is a virtual generated column.".to_owned(),
        false => format!("The column is of type {}.", shown_type(column.type_oid)),
    };
    GuardError::new(ErrorKind::StatusMisfit, message, forms_that_fit(table, column)).detail(detail)
}

/// The forms that fit a column's type, each with a column as apps have it.
fn forms_that_fit(table: &Relation, column: &Column) -> Hint {
    let forms = [
        (ActiveWhen::True, "'true' for one such as active"),
        (ActiveWhen::False, "'false' for one such as is_disabled"),
        (ActiveWhen::Past, "'past' for one such as banned_until"),
        (ActiveWhen::Future, "'future' for one such as expires_at"),
        (ActiveWhen::OneOf(Vec::new()), "a list such as '{active,trial}', or '{1,2}' for numbers"),
        (ActiveWhen::Null, "'null' for one that is NULL while an account is active"),
    ];
    let fitting: Vec<&str> = forms
        .iter()
        .filter(|(form, _)| StatusReader::new(column, form).is_some())
        .map(|(_, example)| *example)
        .collect();
    match fitting.is_empty() {
        true => hints::other_column(&table.name()),
        false => Hint::advice(format!("Say how the column is read: {}.", fitting.join("; "))),
    }
}
