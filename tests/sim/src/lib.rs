//! The seeded simulator: the controller and the step executor over a fake host.
