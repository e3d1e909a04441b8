//! What was found: one ratio a line, beside its goal; and what a plot shows.

use crate::measure::Spread;
use serde::Serialize;

/// What a ratio is to be.
#[derive(Clone, Copy, Debug, Serialize)]
pub enum Goal {
    /// Not more than this.
    AtMost(f64),
    /// Not less than this.
    AtLeast(f64),
    /// Told for its own sake.
    None,
}

/// One comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// What was measured, and against what.
    pub what: String,
    /// Of the guard, in the unit.
    pub guard: Spread,
    /// Of what it is compared with, in the unit.
    pub other: Spread,
    /// Such as `ns a call`, or `transactions a second`.
    pub unit: &'static str,
    /// The guard's median by the other's.
    pub ratio: f64,
    /// What the ratio is to be.
    pub goal: Goal,
}

impl Line {
    /// A comparison of medians.
    pub fn new(
        what: impl Into<String>,
        guard: Spread,
        other: Spread,
        unit: &'static str,
        goal: Goal,
    ) -> Line {
        let ratio = guard.median / other.median;
        Line { what: what.into(), guard, other, unit, ratio, goal }
    }

    /// Whether the goal is reached.
    pub fn is_reached(&self) -> bool {
        match self.goal {
            Goal::AtMost(goal) => self.ratio <= goal,
            Goal::AtLeast(goal) => self.ratio >= goal,
            Goal::None => true,
        }
    }

    /// The line as the table has it.
    pub fn text(&self) -> String {
        let spread =
            |it: Spread| format!("{} ({} to {})", short(it.median), short(it.p10), short(it.p90));
        let goal = match self.goal {
            Goal::AtMost(goal) => format!("<= {goal}"),
            Goal::AtLeast(goal) => format!(">= {goal}"),
            Goal::None => String::new(),
        };
        let mark = if self.is_reached() { "" } else { "  missed" };
        let (guard, other) = (spread(self.guard), spread(self.other));
        format!(
            "{:<62} {:>7.3} {goal:>8}  {guard:>28} {other:>28}  {}{mark}",
            self.what, self.ratio, self.unit
        )
    }
}

/// What a plot is of.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Plot {
    /// What a check costs.
    Check,
    /// What a write costs.
    Write,
}

/// One bar of a plot.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    /// The plot.
    pub plot: Plot,
    /// What stands over this bar and its neighbours.
    pub group: String,
    /// What stands beside it.
    pub what: String,
    /// Whether it is the guard's own.
    pub is_guard: bool,
    /// How long it takes, in microseconds.
    pub micros: Spread,
}

impl Cost {
    /// A check.
    pub fn check(group: &str, what: &str, micros: Spread) -> Cost {
        let is_guard = what.starts_with("check");
        Cost { plot: Plot::Check, group: group.into(), what: what.into(), is_guard, micros }
    }

    /// The same write of a guarded table and of one that nobody guards.
    pub fn writes(group: impl Into<String>, guarded: Spread, plain: Spread) -> [Cost; 2] {
        let group = group.into();
        [("guarded", true, guarded), ("not guarded", false, plain)].map(
            |(what, is_guard, micros)| Cost {
                plot: Plot::Write,
                group: group.clone(),
                what: what.into(),
                is_guard,
                micros,
            },
        )
    }
}

/// The table's first line.
pub fn heading() -> String {
    format!(
        "{:<62} {:>7} {:>8}  {:>28} {:>28}",
        "what", "ratio", "goal", "guard: median (p10 to p90)", "other: median (p10 to p90)"
    )
}

fn short(value: f64) -> String {
    match value {
        value if value >= 1000.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.3}"),
    }
}
