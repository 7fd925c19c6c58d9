//! Tests of the class and the lint of migrations, as data and against a PostgreSQL server, and of the way back.

mod case;
mod cases;
mod facts;
mod replay;
mod rules;
mod server;
mod way_back;
