//! Names that were never given before.

/// A UUID of version 4 from the kernel's randomness.
pub(crate) fn uuid() -> String {
    // A kernel without its own is not one that tend runs on.
    std::fs::read_to_string("/proc/sys/kernel/random/uuid")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}
