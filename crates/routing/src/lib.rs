//! Which replica a request goes to: routes, balancing, ejection.
