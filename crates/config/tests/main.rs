//! Tests of configuration as a whole: each module below proves one promise.
