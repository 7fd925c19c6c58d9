//! Percentiles of durations, and how figures are printed.

use std::time::Duration;

use serde::Serialize;

/// Percentiles in milliseconds by nearest rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) count: usize,
    pub(crate) min_ms: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p95_ms: f64,
    pub(crate) max_ms: f64,
}

impl Spread {
    pub(crate) fn of(mut durations: Vec<Duration>) -> Self {
        durations.sort_unstable();
        let rank = |percent: usize| {
            let rank = (durations.len() * percent).div_ceil(100).max(1);
            durations
                .get(rank - 1)
                .map_or(0.0, |duration| duration.as_micros() as f64 / 1000.0)
        };
        Self {
            count: durations.len(),
            min_ms: rank(0),
            p50_ms: rank(50),
            p95_ms: rank(95),
            max_ms: rank(100),
        }
    }
}

/// Rows of figures, a column for each supervisor; the first is ours and the others get a ratio to it.
#[derive(Default)]
pub(crate) struct Table {
    columns: Vec<String>,
    rows: Vec<(String, Vec<Option<f64>>, usize)>,
}

impl Table {
    pub(crate) fn new(columns: impl IntoIterator<Item = String>) -> Self {
        Self {
            columns: columns.into_iter().collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; `decimals` are printed of each value.
    pub(crate) fn row(&mut self, name: &str, decimals: usize, values: impl IntoIterator<Item = Option<f64>>) {
        self.rows
            .push((name.to_owned(), values.into_iter().collect(), decimals));
    }

    /// Returns the table as Markdown. A ratio above 1 means that the peer's value is the larger.
    pub(crate) fn to_markdown(&self) -> String {
        let mut text = format!(
            "| |{}\n",
            self.columns.iter().map(|name| format!(" {name} |")).collect::<String>()
        );
        text += &format!("| --- |{}\n", " ---: |".repeat(self.columns.len()));
        for (name, values, decimals) in &self.rows {
            let ours = values.first().copied().flatten();
            let cells = values.iter().enumerate().map(|(column, value)| {
                let Some(value) = value else {
                    return " - |".to_owned();
                };
                match ours {
                    Some(ours) if column > 0 && ours > 0.0 => {
                        format!(" {value:.decimals$} (×{:.2}) |", value / ours)
                    }
                    _ => format!(" {value:.decimals$} |"),
                }
            });
            text += &format!("| {name} |{}\n", cells.collect::<String>());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let spread = Spread::of((1..=30).rev().map(Duration::from_millis).collect());
        assert_eq!(
            (spread.count, spread.min_ms, spread.p50_ms, spread.p95_ms, spread.max_ms),
            (30, 1.0, 15.0, 29.0, 30.0)
        );
        assert_eq!(Spread::of(Vec::new()), Spread::default());
    }

    #[test]
    fn peers_are_shown_with_their_ratio_to_ours() {
        let mut table = Table::new(["tend", "other", "third"].map(str::to_owned));
        table.row("time, ms", 1, [Some(2.0), Some(5.0), None]);
        table.row("lost", 0, [Some(0.0), Some(7.0), Some(0.0)]);
        assert_eq!(
            table.to_markdown(),
            "| | tend | other | third |\n| --- | ---: | ---: | ---: |\n\
             | time, ms | 2.0 | 5.0 (×2.50) | - |\n| lost | 0 | 7 | 0 |\n"
        );
    }
}
