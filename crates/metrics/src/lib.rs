//! Draft.
mod bits;
mod chunk;
mod group;
mod index;
mod record;
mod varint;
