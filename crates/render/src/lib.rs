//! Pipelines of other people's build servers, rendered from a stack.
