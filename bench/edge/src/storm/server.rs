//! What stands behind the edges of a storm: three servers that answer, and one that echoes WebSockets. They know nothing of the storm.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio_tungstenite::accept_async;

use crate::error::{Error, Result};

/// Where they listen.
#[derive(Debug)]
pub(crate) struct Ports {
    pub(crate) plain: Vec<u16>,
    pub(crate) echo: u16,
}

/// Starts them on a thread of their own; they end with the process.
pub(crate) fn start() -> Result<Ports> {
    let failed = |what| move |source| Error::Upstream { what, source };
    let mut listeners: Vec<(u16, std::net::TcpListener)> = (0..4)
        .map(|_| listen())
        .collect::<std::io::Result<_>>()
        .map_err(failed("listen"))?;
    let mut ports: Vec<u16> = listeners.iter().map(|(port, _)| *port).collect();
    let echo = ports.pop().unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed("start"))?;
    std::thread::Builder::new()
        .name("servers".to_owned())
        .spawn(move || {
            LocalSet::new().block_on(&runtime, async move {
                let echo = listeners.pop();
                for (_, listener) in listeners {
                    if let Ok(listener) = TcpListener::from_std(listener) {
                        spawn_local(async move {
                            while let Ok((stream, _)) = listener.accept().await {
                                spawn_local(answer(stream));
                            }
                        });
                    }
                }
                if let Some(Ok(listener)) = echo.map(|(_, listener)| TcpListener::from_std(listener)) {
                    while let Ok((stream, _)) = listener.accept().await {
                        spawn_local(echo_all(stream));
                    }
                }
            });
        })
        .map_err(failed("start"))?;
    Ok(Ports { plain: ports, echo })
}

/// Binds with a queue that all clients fit into: the standard library's 128 would turn a crowd at the start into connect timeouts.
fn listen() -> std::io::Result<(u16, std::net::TcpListener)> {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0)))?;
    listen(&socket, 4096)?;
    let listener = std::net::TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    Ok((listener.local_addr()?.port(), listener))
}

/// Answers each request of a connection; they have no bodies.
async fn answer(mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut held = Vec::new();
    loop {
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(read @ 1..) => held.extend_from_slice(&piece[..read]),
            _ => return,
        }
        while let Some(end) = held.windows(4).position(|window| window == b"\r\n\r\n") {
            held.drain(..end + 4);
            let text = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            if stream.write_all(text).await.is_err() {
                return;
            }
        }
    }
}

/// Sends every message back.
async fn echo_all(stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let Ok(mut socket) = accept_async(stream).await else {
        return;
    };
    while let Some(Ok(message)) = socket.next().await {
        let said = message.is_text() || message.is_binary();
        if said && socket.send(message).await.is_err() {
            return;
        }
    }
}
