//! The HTTP/1 engine: reads requests from clients, carries them to replicas and the answers back.
//!
//! Map: `serve` is a client's connection; `carry` one request, its tries and its answer; `upload` and `download` the bodies; `own` what
//! the edge answers by itself; `held` what is read whole; `head` the heads that are written; `link` the connections to replicas; `tunnel` what became something
//! else than HTTP. `buffer`, `desk`, `pile` and `deadline` are what makes it cheap; `pace` says which client sends too slowly.
//!
//! One task owns the client's connection and, while a request runs, the replica's. A request costs two calls of `recv` and two of
//! `send`, no timer, and no allocation here: buffers come from the thread's pile and go back to it while a connection idles.
//!
//! What stands on the other side is [`crate::exchange::Exchange`], which decides and remembers. An engine owes it: one `Exchange` for
//! each request; `next` before each try, then `answered` or `failed`; the `Attempt` kept until the last byte; `passed`.
//!
//! Smuggling: `tend-http1` refuses what could be read in two ways, and every head and every chunk is written anew from what was read.
//!
//! HTTP/2 is the business of [`h2`], which owes and is owed the same.

mod buffer;
mod carry;
mod deadline;
mod desk;
mod download;
pub(crate) mod h2;
mod head;
mod held;
mod link;
mod own;
mod pace;
mod pile;
mod serve;
mod tunnel;
mod upload;

use std::cell::Cell;
use std::rc::Rc;

use tend_base::SystemClock;

use crate::limits::Patience;
use crate::worker::Worker;

pub(crate) use held::call;
pub(crate) use link::connect as reach;
pub(crate) use serve::serve;

/// What the connections of one thread share.
pub(crate) struct Shop {
    pub(crate) pool: link::Pool,
    pub(crate) deadlines: deadline::Deadlines,
    desks: desk::Desks,
    date: head::Date,
    is_watched: Cell<bool>,
}

impl Shop {
    pub(crate) fn new(patience: &Patience) -> Self {
        Self {
            pool: link::Pool::default(),
            deadlines: deadline::Deadlines::new(patience),
            desks: desk::Desks::default(),
            date: head::Date::default(),
            is_watched: Cell::new(false),
        }
    }
}

/// Looks after deadlines, idle connections and unused buffers from time to time, while there are any.
fn watch(worker: &Rc<Worker>) {
    let shop = &worker.shop;
    if shop.is_watched.replace(true) {
        return;
    }
    shop.deadlines.note(SystemClock.mono());
    let worker = worker.clone();
    tokio::task::spawn_local(async move {
        let shop = &worker.shop;
        loop {
            tokio::time::sleep(shop.deadlines.every()).await;
            let now = SystemClock.mono();
            let waiting = shop.deadlines.look(now);
            let linked = shop.pool.sweep(now, worker.patience.upstream_idle);
            let lying = shop.desks.trim() | buffer::trim();
            if !waiting && !linked && !lying {
                break;
            }
        }
        shop.is_watched.set(false);
    });
}
