//! A try that is killed at any request, before the authority heard of it or before we heard the answer, is gone on with.
//!
//! A kill is the end of the future in the middle of a request, with nothing of ours run afterwards: only what is on disk is left.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use tend_acme::{Authority, Challenge, Folder, renew};
use tend_base::SystemClock;
use tend_certificate::Outcome;
use tokio::sync::oneshot;

use crate::fixture::{Pebble, SOON, run, wish};

/// Where a request is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// Before the authority hears of it.
    Before,
    /// When the authority has answered, and nobody here heard it.
    After,
}

/// Carries connections to the authority, one request each, and cuts one of them.
struct Wire {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    count: AtomicU32,
    cut: Mutex<Option<(u32, Cut, oneshot::Sender<()>)>>,
    ended: AtomicBool,
}

impl Wire {
    fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<State>::default();
        let for_thread = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if for_thread.ended.load(Ordering::SeqCst) {
                    return;
                }
                let number = for_thread.count.fetch_add(1, Ordering::SeqCst) + 1;
                let mut cut = for_thread.cut.lock().unwrap();
                let here = cut.take_if(|(at, _, _)| *at == number);
                drop(cut);
                let client = client.unwrap();
                std::thread::spawn(move || carry(client, target, here.map(|(_, cut, killed)| (cut, killed))));
            }
        });
        Self { port, state }
    }

    /// Cuts the connection of this number, counted from now; tells when it is cut.
    fn cut(&self, number: u32, cut: Cut) -> oneshot::Receiver<()> {
        let (killed, told) = oneshot::channel();
        self.state.count.store(0, Ordering::SeqCst);
        *self.state.cut.lock().unwrap() = Some((number, cut, killed));
        told
    }

    fn carry_all(&self) {
        *self.state.cut.lock().unwrap() = None;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn carry(mut client: TcpStream, target: u16, cut: Option<(Cut, oneshot::Sender<()>)>) {
    let (after, killed) = match cut {
        Some((Cut::Before, killed)) => {
            let _ = killed.send(());
            // Held until the client is gone, which then saw no end of it.
            while let Ok(1..) = client.read(&mut [0; 1024]) {}
            return;
        }
        Some((Cut::After, killed)) => (true, Some(killed)),
        None => (false, None),
    };
    let mut server = TcpStream::connect(("127.0.0.1", target)).unwrap();
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(SOON)).unwrap();
    }
    // The server's first flight goes through. What the client says after it ends in the request; nothing is heard from then on.
    let (greeted, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (is_greeted, has_asked) = (Arc::clone(&greeted), Arc::clone(&asked));
    let up = std::thread::spawn(move || {
        let mut buffer = [0; 16 << 10];
        while let Ok(read @ 1..) = from_client.read(&mut buffer) {
            if is_greeted.load(Ordering::SeqCst) {
                has_asked.store(true, Ordering::SeqCst);
            }
            if to_server.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let mut buffer = [0; 16 << 10];
    while let Ok(read @ 1..) = server.read(&mut buffer) {
        if after && asked.load(Ordering::SeqCst) {
            continue;
        }
        // Set before the client can have seen a byte of it.
        greeted.store(true, Ordering::SeqCst);
        if client.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // The authority closes when it has answered: every request asks it to.
    if let Some(killed) = killed {
        let _ = killed.send(());
    }
    let _ = client.shutdown(Shutdown::Write);
    let _ = up.join();
}

#[test]
fn killed_at_every_request_it_goes_on() {
    let pebble = Pebble::start();
    let wire = Wire::to(pebble.port());
    let directory = format!("https://127.0.0.1:{}/dir", wire.port);
    let authority = Authority::new(&directory, Some(pebble.root())).unwrap();
    for (cut, challenge) in [(Cut::Before, Challenge::Http01), (Cut::After, Challenge::TlsAlpn01)] {
        let mut kills = 0;
        let mut gone_on = 0;
        for number in 1.. {
            let place = pebble.place.path().join(format!("{cut:?}{number}"));
            let folder = Folder::open(&place).unwrap();
            let wish = wish(&format!("host{number}.{challenge}.test"), challenge);
            let told = wire.cut(number, cut);
            let ended = run(async {
                tokio::select! {
                    biased;
                    Ok(()) = told => None,
                    ended = renew(&authority, &folder, &wish, &pebble.server, &SystemClock) => Some(ended),
                }
            });
            wire.carry_all();
            if let Some(ended) = ended {
                // It needs fewer requests than that.
                ended.unwrap();
                break;
            }
            kills += 1;
            // What another process would find.
            let folder = Folder::open(&place).unwrap();
            let record = folder.record(&wish.names).unwrap();
            assert_eq!(
                record.history.tries.len(),
                1,
                "the try was written down before the authority was asked"
            );
            assert_eq!(record.history.tries[0].outcome, Outcome::Begun);
            assert_eq!(record.current, None);
            let under_way = folder.is_under_way(&record, &directory).unwrap();
            let issued = pebble.log().matches("Issued certificate").count();
            let (record, certificate) = run(renew(&authority, &folder, &wish, &pebble.server, &SystemClock))
                .unwrap_or_else(|error| panic!("{cut:?} {number}: {}", error.with_causes()));
            assert_eq!(certificate.names, wish.names);
            let tries: Vec<Outcome> = record.history.tries.iter().map(|t| t.outcome).collect();
            if under_way {
                gone_on += 1;
                assert_eq!(tries, [Outcome::Issued], "{cut:?} {number}: it is the same try");
            } else {
                assert_eq!(tries, [Outcome::Begun, Outcome::Issued], "{cut:?} {number}");
            }
            let again = pebble.log().matches("Issued certificate").count() - issued;
            assert!(
                again <= 1,
                "{cut:?} {number}: {again} certificates were issued after the kill"
            );
            assert_eq!(std::fs::read_dir(place.join("orders")).unwrap().count(), 0);
        }
        assert!(kills >= 10, "{cut:?}: only {kills} requests");
        assert!(gone_on >= 5, "{cut:?}: gone on with only {gone_on} orders");
    }
}
