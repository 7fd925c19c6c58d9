//! Sums and means that lose little: Kahan's summation with Neumaier's improvement.
//!
//! Owns how numbers are added up and how a mean is taken when the sum would overflow. Knows no windows and no series.

/// Adds to a sum with what rounding has cost so far.
#[inline]
pub(crate) fn add(increment: f64, sum: f64, lost: f64) -> (f64, f64) {
    let total = sum + increment;
    let lost = if total.is_infinite() {
        0.0
    } else if sum.abs() >= increment.abs() {
        lost + ((sum - total) + increment)
    } else {
        lost + ((increment - total) + sum)
    };
    (total, lost)
}

/// A sum with what rounding has cost so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    sum: f64,
    lost: f64,
}

impl Sum {
    pub(crate) fn add(&mut self, value: f64) {
        (self.sum, self.lost) = add(value, self.sum, self.lost);
    }

    pub(crate) fn total(self) -> f64 {
        if self.sum.is_infinite() {
            self.sum
        } else {
            self.sum + self.lost
        }
    }

    /// Sums all of an iterator.
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> f64 {
        let mut sum = Sum::default();
        values.for_each(|value| sum.add(value));
        sum.total()
    }
}

/// A mean: the sum by the count, or step by step from where the sum would overflow.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mean {
    count: f64,
    sum: f64,
    lost: f64,
    /// Whether `sum` is a mean already.
    stepwise: bool,
}

impl Mean {
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.sum = value;
            return;
        }
        if !self.stepwise {
            let (sum, lost) = add(value, self.sum, self.lost);
            if !sum.is_infinite() {
                (self.sum, self.lost) = (sum, lost);
                return;
            }
            self.stepwise = true;
            self.sum /= self.count - 1.0;
            self.lost /= self.count - 1.0;
        }
        let rest = (self.count - 1.0) / self.count;
        (self.sum, self.lost) = add(value / self.count, rest * self.sum, rest * self.lost);
    }

    pub(crate) fn mean(self) -> f64 {
        if self.stepwise {
            self.sum + self.lost
        } else {
            self.sum / self.count + self.lost / self.count
        }
    }
}

/// The value below which a share of all values lies, between the two nearest. Sorts the values, NaN first.
pub(crate) fn quantile(share: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || share.is_nan() {
        return f64::NAN;
    }
    if share < 0.0 {
        return f64::NEG_INFINITY;
    }
    if share > 1.0 {
        return f64::INFINITY;
    }
    values.sort_unstable_by(|one, two| {
        let by_value = one.partial_cmp(two);
        by_value.unwrap_or_else(|| two.is_nan().cmp(&one.is_nan()))
    });
    let rank = share * (values.len() - 1) as f64;
    let below = rank.floor().max(0.0) as usize;
    let above = (below + 1).min(values.len() - 1);
    let weight = rank - rank.floor();
    values[below] * (1.0 - weight) + values[above] * weight
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_lost_and_nothing_overflows() {
        assert_eq!(Sum::of([5e100, 1.0, -5e100].into_iter()), 1.0);
        let mut mean = Mean::default();
        [f64::MAX, f64::MAX, f64::MAX]
            .into_iter()
            .for_each(|value| mean.add(value));
        assert!((mean.mean() / f64::MAX - 1.0).abs() < 1e-12);
        assert_eq!(Sum::of([f64::INFINITY, 1.0].into_iter()), f64::INFINITY);
    }

    #[test]
    fn quantiles_lie_between_values_and_nan_comes_first() {
        assert_eq!(quantile(0.5, &mut [3.0, 1.0, 2.0, 4.0]), 2.5);
        assert_eq!(quantile(1.0, &mut [f64::NAN, 1.0, f64::NAN, 2.0]), 2.0);
        assert!(quantile(0.0, &mut [1.0, f64::NAN]).is_nan());
    }
}
