//! The decisions of routing, by cases in files and by seeded random runs.
