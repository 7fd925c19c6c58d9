//! How well the kernel's clock is kept, as `adjtimex(2)` tells it. Changes nothing about it.

use std::io;

/// What the kernel says about its clock. Units as in `adjtimex(2)`; `frequency`, `pps_frequency` and `pps_stability` in 2^-16 parts per million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockState {
    /// Whether something keeps it in time; what `TIME_ERROR` denies.
    pub is_synchronized: bool,
    /// `STA_*` bits.
    pub status: i32,
    /// What is still to be corrected, in microseconds; in nanoseconds with `STA_NANO` in [`ClockState::status`].
    pub offset: i64,
    /// By how much it is made to run faster.
    pub frequency: i64,
    /// Microseconds it may be wrong at most.
    pub error_max: i64,
    /// Microseconds it is believed to be wrong.
    pub error_estimated: i64,
    /// Time constant of the loop.
    pub constant: i64,
    /// Microseconds between ticks.
    pub tick: i64,
    /// Frequency by pulses per second.
    pub pps_frequency: i64,
    /// Jitter of the pulses, in the unit of [`ClockState::offset`].
    pub pps_jitter: i64,
    /// Length of an interval of calibration, as a power of two of seconds.
    pub pps_shift: i32,
    /// How much the frequency by pulses wanders.
    pub pps_stability: i64,
    /// Times the jitter was too large.
    pub pps_jitter_count: i64,
    /// Intervals of calibration.
    pub pps_calibration_count: i64,
    /// Errors of calibration.
    pub pps_error_count: i64,
    /// Times it wandered too much.
    pub pps_stability_count: i64,
    /// Seconds between TAI and UTC; 0 when nobody told the kernel.
    pub tai_offset: i32,
}

/// Asks the kernel about its clock.
///
/// # Errors
/// When it is not allowed here.
#[allow(unsafe_code)] // No crate we use wraps adjtimex.
pub fn clock_state() -> io::Result<ClockState> {
    // SAFETY: `timex` is a C structure of integers, for which all zeros is a value; `modes` of 0 asks and changes nothing.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes into this structure of ours only, whose type libc takes from the kernel's headers.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    if state < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(ClockState {
        is_synchronized: state != libc::TIME_ERROR,
        status: timex.status,
        offset: timex.offset,
        frequency: timex.freq,
        error_max: timex.maxerror,
        error_estimated: timex.esterror,
        constant: timex.constant,
        tick: timex.tick,
        pps_frequency: timex.ppsfreq,
        pps_jitter: timex.jitter,
        pps_shift: timex.shift,
        pps_stability: timex.stabil,
        pps_jitter_count: timex.jitcnt,
        pps_calibration_count: timex.calcnt,
        pps_error_count: timex.errcnt,
        pps_stability_count: timex.stbcnt,
        tai_offset: timex.tai,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_a_tick_of_a_hundredth_of_a_second_or_less() {
        let state = clock_state().unwrap();
        // USER_HZ is 100 wherever we run; adjtimex(2) lets it differ by a tenth.
        assert!((9_000..=11_000).contains(&state.tick), "{state:?}");
    }
}
