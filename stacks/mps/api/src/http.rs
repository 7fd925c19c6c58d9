//! The HTTP side: listens on loopback, keeps connections alive, drains on SIGTERM.
//!
//! Owns connections and the order of shutting down. What a path means is in [`route`], how a request is served in
//! [`serve`], what becomes of a WebSocket in [`socket`]. Knows nothing of databases.

mod feed;
mod route;
mod serve;
mod socket;

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::{Config, Error, Live, Log, Metrics, worker::Database};
use serve::Api;
pub(crate) use socket::SOCKETS_MAX;

/// How long a connection may take to send a request's head, and how long a kept-alive one may be silent.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// How long requests in flight get after the drain, before the process ends regardless. Below the stack file's
/// `stop_grace_period`.
const FINISH_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until SIGTERM or SIGINT, then drains: WebSockets are closed (1001), not ready but still serving for `config.drain`,
/// each answer closing its connection; then no new connections; then until the last request in flight is answered.
pub async fn run(
    config: &Config,
    database: Database,
    metrics: Arc<Metrics>,
    log: Log,
    live: Arc<Live>,
) -> Result<(), Error> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, config.port));
    let listen = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let signal = |kind| tokio::signal::unix::signal(kind).map_err(|source| Error::Runtime { source });
    let mut terminate = signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut interrupt = signal(tokio::signal::unix::SignalKind::interrupt())?;

    log.lifecycle("listening", |line| {
        line.insert("address".into(), address.to_string().into());
        line.insert("database".into(), format!("{:?}", config.database).into());
    });
    let (closing, closed) = watch::channel(false);
    let api = Arc::new(Api::new(config, database, metrics, log.clone(), live));
    api.break_by(config.breakage);
    let feed = tokio::spawn({
        let api = Arc::clone(&api);
        async move { api.feed().await }
    });
    let mut connections = JoinSet::new();
    {
        let mut stop = pin!(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            log.lifecycle("draining", |_| {});
            api.drain();
            tokio::time::sleep(config.drain).await;
        });
        loop {
            tokio::select! {
                () = &mut stop => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        connections.spawn(connection(stream, peer, Arc::clone(&api), closed.clone()));
                    }
                    // Out of descriptors, or the client went away first: neither is cured by spinning.
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }
    drop(listener);
    closing.send_replace(true);
    let all_closed = async {
        while connections.join_next().await.is_some() {}
        api.sockets_gone().await;
    };
    let finished = tokio::time::timeout(FINISH_TIMEOUT, all_closed).await.is_ok();
    feed.abort();
    log.lifecycle("stopped", |line| {
        line.insert("in_flight_finished".into(), finished.into());
    });
    Ok(())
}

async fn connection(stream: TcpStream, peer: SocketAddr, api: Arc<Api>, mut closed: watch::Receiver<bool>) {
    // An answer is one write, so there is nothing to gather; failing to say so costs only latency.
    drop(stream.set_nodelay(true));
    let service = service_fn(|request| Arc::clone(&api).serve(request, peer));
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
    );
    // An error here is the client's: it went away or did not speak HTTP. Whatever it had asked for is decided elsewhere.
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = closed.changed() => {
            connection.as_mut().graceful_shutdown();
            drop(connection.await);
        }
    }
}
