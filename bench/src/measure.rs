//! Rounds of contenders in turn, and what they tell.

use serde::Serialize;
use std::time::Instant;

/// The middle of many measurements, and where the lowest and the highest tenth of them end.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The tenth percentile.
    pub p10: f64,
    /// The ninetieth percentile.
    pub p90: f64,
}

impl Spread {
    /// Of at least one measurement.
    pub fn of(mut values: Vec<f64>) -> Spread {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
        Spread { median: at(0.5), p10: at(0.1), p90: at(0.9) }
    }

    /// The same in another unit.
    pub fn times(self, factor: f64) -> Spread {
        let Spread { median, p10, p90 } = self;
        Spread { median: median * factor, p10: p10 * factor, p90: p90 * factor }
    }

    /// How long one takes, in microseconds, where so many are done in a second.
    pub fn micros_each(self) -> Spread {
        Spread { median: 1e6 / self.median, p10: 1e6 / self.p90, p90: 1e6 / self.p10 }
    }
}

/// Measures contenders one after the other, so many rounds, so that what disturbs the machine meets them all.
/// A first round is thrown away.
///
/// # Errors
/// If a measurement fails.
pub fn in_turn<E>(
    rounds: usize,
    contenders: usize,
    mut measure: impl FnMut(usize) -> Result<f64, E>,
) -> Result<Vec<Spread>, E> {
    let mut values = vec![Vec::new(); contenders];
    for round in 0..=rounds {
        for (contender, values) in values.iter_mut().enumerate() {
            let value = measure(contender)?;
            if round > 0 {
                values.push(value);
            }
        }
    }
    Ok(values.into_iter().map(Spread::of).collect())
}

/// How many seconds the work takes.
///
/// # Errors
/// If the work fails.
pub fn seconds<E>(work: impl FnOnce() -> Result<(), E>) -> Result<f64, E> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed().as_secs_f64())
}
