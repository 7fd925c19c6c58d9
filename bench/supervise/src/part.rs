//! What is compared, a part each.

pub(crate) mod crash;
pub(crate) mod flood;
pub(crate) mod kill;
pub(crate) mod load;
