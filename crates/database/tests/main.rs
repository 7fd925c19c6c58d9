//! The crate at real servers, started here, killed here: PostgreSQL, MariaDB and files of SQLite.

mod mariadb;
mod postgres;
mod rotating;
mod servers;
mod sqlite;
mod tls;
