//! Tests of the monitor as a process has it, spoken to as the daemon speaks to it.

mod dead_man;
