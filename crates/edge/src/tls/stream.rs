//! A connection of TLS after its handshake, as a stream of what it carries.
//!
//! Writes go to the kernel at once as far as it takes them; what it does not take waits in rustls, at most 64 KiB, until the next
//! write or flush. Reads end where the client said so, or where the connection ended: who reads HTTP knows what is missing then.

use std::io::{self, BufRead, IoSlice, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use rustls::{Connection, SideData};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct TlsStream {
    socket: TcpStream,
    session: Connection,
    /// The other side has said all it will.
    ended: bool,
    /// The other side is to see that something is missing.
    is_cut: bool,
}

/// Lets rustls read and write a socket that may have nothing to give or take: `WouldBlock` then, and the task is woken.
pub(super) struct Socket<'a, 'b>(pub(super) &'a mut TcpStream, pub(super) &'a mut Context<'b>);

impl Read for Socket<'_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(bytes);
        match Pin::new(&mut *self.0).poll_read(self.1, &mut buffer) {
            Poll::Ready(outcome) => outcome.map(|()| buffer.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Socket<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        blocking(Pin::new(&mut *self.0).poll_write(self.1, bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        blocking(Pin::new(&mut *self.0).poll_write_vectored(self.1, slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn blocking(outcome: Poll<io::Result<usize>>) -> io::Result<usize> {
    match outcome {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// Gives the kernel what rustls has for the other side.
pub(super) fn write_out<Data: SideData>(
    session: &mut rustls::ConnectionCommon<Data>,
    socket: &mut TcpStream,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    while session.wants_write() {
        match session.write_tls(&mut Socket(socket, cx)) {
            Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
    Poll::Ready(Ok(()))
}

impl TlsStream {
    /// Takes a connection whose handshake is done.
    pub(super) fn new(socket: TcpStream, session: Connection) -> Self {
        Self {
            socket,
            session,
            ended: false,
            is_cut: false,
        }
    }

    /// Has the connection end without a farewell.
    pub(crate) fn cut(&mut self) {
        self.is_cut = true;
    }

    /// Says that nothing more comes, as far as the kernel takes it now.
    pub(crate) fn farewell(&mut self) {
        if !self.is_cut {
            self.session.send_close_notify();
            // Whoever has closed already need not be told.
            let _ = self.write_out(&mut Context::from_waker(Waker::noop()));
        }
    }

    /// Returns the connection under it.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Says whether nothing lies here that nobody has read.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let mut reader = self.session.reader();
        !self.ended && matches!(reader.fill_buf(), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    fn write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.session {
            Connection::Client(session) => write_out(session, &mut self.socket, cx),
            Connection::Server(session) => write_out(session, &mut self.socket, cx),
        }
    }

    fn poll_plain(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(&mut Connection) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        // What was left over first: so no more than one write's worth waits here.
        ready!(self.write_out(cx))?;
        let taken = write(&mut self.session)?;
        match self.write_out(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(taken)),
        }
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let is_server = matches!(this.session, Connection::Server(_));
        loop {
            // From where it was decrypted: to have it read into the buffer, all that is free there would have to be zeroed first, which
            // was a tenth of a request of HTTP/2.
            match this.session.reader().fill_buf() {
                Ok(come) => {
                    let taken = come.len().min(buffer.remaining());
                    buffer.put_slice(&come[..taken]);
                    this.session.reader().consume(taken);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The connection ended without a farewell. Of an answer that ends with its connection anybody could cut off the rest; of a
                // request the framing says what is missing.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && is_server => return Poll::Ready(Ok(())),
                Err(error) => return Poll::Ready(Err(error)),
            }
            if this.ended {
                return Poll::Ready(Ok(()));
            }
            match this.session.read_tls(&mut Socket(&mut this.socket, cx)) {
                Ok(read) => {
                    this.ended = read == 0;
                    if let Err(error) = this.session.process_new_packets() {
                        // Whether the alert still reaches it is its own affair.
                        let _ = this.write_out(cx);
                        return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Tickets and answers to key updates go with the next response, unless there is none for now.
                    if this.session.wants_write()
                        && let Poll::Ready(Err(error)) = this.write_out(cx)
                    {
                        return Poll::Ready(Err(error));
                    }
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_plain(cx, |session| session.writer().write(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_plain(cx, |session| session.writer().write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write_out(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.send_close_notify();
        ready!(self.write_out(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
