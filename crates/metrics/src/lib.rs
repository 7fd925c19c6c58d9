//! Draft.
mod bits;
mod chunk;
mod varint;
