//! What replicas see of the watch endpoint, what the clients make of it, and files as editors change them.

mod clients;
mod endpoint;
mod file_watch;
mod fixture;
mod rendered;
