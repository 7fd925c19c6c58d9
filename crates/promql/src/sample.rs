//! A sample: a time and a value, and the marker that says a series ended.
//!
//! Owns the units and the bit pattern. Knows nothing of series.

/// Milliseconds since the Unix epoch, UTC; may be negative.
pub type Timestamp = i64;

/// The bit pattern of the value that marks a series as gone (Prometheus' own); any other NaN is a value.
pub const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The bit pattern of the NaN that is a value.
pub const NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// The value that marks a series as gone.
pub const STALE: f64 = f64::from_bits(STALE_BITS);

/// Whether a value is the marker.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_BITS
}

/// A value at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When, in milliseconds since the Unix epoch.
    pub time: Timestamp,
    /// What.
    pub value: f64,
}

/// Samples of one series in the order of time, as two columns of the same length.
///
/// Columns, because a store that scrapes a target has one column of times for all of its series.
#[derive(Clone, Copy, Debug, Default)]
pub struct Samples<'a> {
    times: &'a [Timestamp],
    values: &'a [f64],
}

impl<'a> Samples<'a> {
    /// Puts two columns together.
    ///
    /// # Panics
    /// When they differ in length: that is a bug of the caller. That times rise is asserted in debug builds only.
    pub fn new(times: &'a [Timestamp], values: &'a [f64]) -> Samples<'a> {
        assert_eq!(times.len(), values.len(), "a time for each value");
        debug_assert!(times.is_sorted_by(|one, two| one < two), "times rise");
        Samples { times, values }
    }

    /// The times, rising.
    pub fn times(&self) -> &'a [Timestamp] {
        self.times
    }

    /// The values, one for each time.
    pub fn values(&self) -> &'a [f64] {
        self.values
    }

    /// Whether one of the values is the marker.
    pub(crate) fn has_stale(&self) -> bool {
        // Without an early end, so that the compiler looks at several at a time; almost always there is none.
        self.values.iter().fold(false, |any, value| any | is_stale(*value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// The samples of positions `from` to before `to`.
    ///
    /// # Panics
    /// When the positions are not within.
    #[must_use]
    pub fn slice(&self, from: usize, to: usize) -> Samples<'a> {
        Samples {
            times: &self.times[from..to],
            values: &self.values[from..to],
        }
    }

    /// Each sample.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Sample> + ExactSizeIterator + 'a {
        let pairs = self.times.iter().zip(self.values);
        pairs.map(|(time, value)| Sample {
            time: *time,
            value: *value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_marker_is_stale() {
        assert!(STALE.is_nan() && is_stale(STALE));
        assert!(!is_stale(f64::NAN) && !is_stale(f64::from_bits(NAN_BITS)) && !is_stale(0.0));
    }
}
