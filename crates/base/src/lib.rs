//! Ground that knows nothing of tend: clock values, back-off, atomic files, secret strings, durations and sizes.
