//! The edge as a process of its own: killed, terminated, started twice.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tend_edge::{ControlClient, FromEdge, HandedSocket, ToEdge};

use crate::fixture::{Client, Folder, PATIENCE, Plan, Upstream, eventually, free_address, respond};

/// A child that does not outlive its test.
pub(crate) struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn start(folder: &Path, handover_ms: u64) -> Process {
    let child = Command::new(env!("CARGO_BIN_EXE_tend-edge"))
        .arg(folder.join("edge.sock"))
        .arg(folder.join("edge"))
        .args(["2", &handover_ms.to_string()])
        .spawn()
        .unwrap();
    Process(child)
}

pub(crate) fn connect(folder: &Path, edge: &Process) -> ControlClient {
    let pid = edge.0.id();
    eventually("the control socket of the new edge", || {
        let client = ControlClient::connect(&folder.join("edge.sock")).ok()?;
        let (hello, _) = client.receive(PATIENCE).ok()??;
        matches!(hello, FromEdge::Hello { pid: theirs, .. } if theirs == pid).then_some(client)
    })
}

fn wait_for(client: &ControlClient, wanted: impl Fn(&FromEdge) -> bool) -> FromEdge {
    loop {
        let (message, _) = client.receive(PATIENCE).unwrap().expect("no answer");
        if wanted(&message) {
            return message;
        }
    }
}

pub(crate) fn serve(client: &ControlClient, plan: &mut Plan) {
    let snapshot = serde_json::to_value(plan.next()).unwrap();
    client.send(&ToEdge::Snapshot { snapshot }, &[]).unwrap();
    wait_for(client, |message| matches!(message, FromEdge::Serving { .. }));
}

fn hand_over(client: &ControlClient, address: SocketAddr, socket: &TcpListener) {
    let sockets = vec![HandedSocket { address, thread: 0 }];
    client.send(&ToEdge::Listeners { sockets }, &[socket.as_fd()]).unwrap();
    wait_for(client, |message| matches!(message, FromEdge::ListenersTaken { .. }));
}

#[test]
fn a_killed_edge_refuses_no_connection_and_the_next_serves_from_disk() {
    let upstream = Upstream::named("api");
    let listen = free_address();
    let socket = TcpListener::bind(listen).unwrap();
    let folder = Folder::new();
    let mut edge = start(&folder.0, 20_000);
    let client = connect(&folder.0, &edge);
    hand_over(&client, listen, &socket);
    let mut plan = Plan::new(listen)
        .service("api", &[upstream.address])
        .route(None, "/", "api");
    serve(&client, &mut plan);
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicU64::new(0));
    let asking = std::thread::spawn({
        let (stop, answered) = (stop.clone(), answered.clone());
        move || {
            let mut cut = 0;
            while !stop.load(Ordering::Relaxed) {
                // Client::connect fails the test when the connection is refused.
                let mut client = Client::connect(listen);
                client.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
                match client.try_read(false) {
                    Some(response) => assert_eq!(response.status, 200),
                    None => cut += 1,
                }
                answered.fetch_add(1, Ordering::Relaxed);
            }
            cut
        }
    });
    for _ in 0..5 {
        let before = answered.load(Ordering::Relaxed);
        eventually("answers", || {
            (answered.load(Ordering::Relaxed) > before + 50).then_some(())
        });
        edge.0.kill().unwrap();
        edge.0.wait().unwrap();
        edge = start(&folder.0, 20_000);
        let client = connect(&folder.0, &edge);
        // The sockets alone: what to serve it has read from disk.
        hand_over(&client, listen, &socket);
    }
    stop.store(true, Ordering::Relaxed);
    let cut = asking.join().unwrap();
    assert!(cut <= 5, "{cut} requests were cut by five kills of one client");
}

#[test]
fn a_terminated_edge_finishes_its_request_and_leaves_no_socket_behind() {
    let upstream = Upstream::start(|_, stream| respond(stream, 200, "done"));
    let folder = Folder::new();
    let mut edge = start(&folder.0, 0);
    let client = connect(&folder.0, &edge);
    let listen = free_address();
    let mut plan = Plan::new(listen)
        .service("api", &[upstream.address])
        .route(None, "/", "api");
    serve(&client, &mut plan);
    assert_eq!(Client::connect(listen).get("/").text(), "done");
    let pid = rustix::process::Pid::from_child(&edge.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = eventually("the end", || edge.0.try_wait().unwrap());
    assert!(status.success(), "{status}");
    assert!(!folder.0.join("edge.sock").exists());
    let log = std::fs::read_to_string(folder.0.join("edge/access.log")).unwrap();
    assert_eq!(log.lines().count(), 1);
}

#[test]
fn what_keeps_an_edge_from_starting_is_said_with_a_next_step() {
    let folder = Folder::new();
    std::fs::write(folder.0.join("edge"), "a file where the folder should be").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tend-edge"))
        .arg(folder.0.join("edge.sock"))
        .arg(folder.0.join("edge"))
        .args(["1", "0"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("could not create the edge's folder"), "{said}");
    assert!(said.contains("check that the state folder"), "{said}");
}

#[test]
fn a_listener_that_is_taken_is_reported_and_the_others_serve() {
    let upstream = Upstream::named("api");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = Folder::new();
    let edge = start(&folder.0, 0);
    let client = connect(&folder.0, &edge);
    let listen = free_address();
    let mut plan = Plan::new(listen)
        .service("api", &[upstream.address])
        .route(None, "/", "api");
    plan.snapshot
        .listeners
        .push(tend_core::model::Listener::plain(taken.local_addr().unwrap()));
    let snapshot = serde_json::to_value(plan.next()).unwrap();
    client.send(&ToEdge::Snapshot { snapshot }, &[]).unwrap();
    let FromEdge::Serving { unbound, .. } = wait_for(&client, |message| matches!(message, FromEdge::Serving { .. }))
    else {
        panic!("not serving");
    };
    assert_eq!(unbound[0].address, taken.local_addr().unwrap());
    assert!(unbound[0].why.contains("in use"), "{}", unbound[0].why);
    assert_eq!(Client::connect(listen).get("/").text(), "api");
}

#[test]
fn what_an_edge_does_not_understand_is_refused_and_it_goes_on() {
    let folder = Folder::new();
    let edge = start(&folder.0, 0);
    let client = connect(&folder.0, &edge);
    let raw = {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
        let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
        let address = SocketAddrUnix::new(folder.0.join("edge.sock")).unwrap();
        rustix::net::connect(&socket, &address).unwrap();
        socket
    };
    let hear = || {
        let mut buffer = vec![0u8; 4096];
        let (read, _) = rustix::net::recv(&raw, &mut buffer[..], rustix::net::RecvFlags::empty()).unwrap();
        String::from_utf8(buffer[..read].to_vec()).unwrap()
    };
    assert!(hear().contains(r#""type":"hello""#));
    for (said, wanted) in [
        (r#"{"v":1,"type":"fly","where":"moon"}"#, r#""what":"fly""#),
        ("this is no JSON", r#""what":"?""#),
        (r#"{"v":1,"type":"give_listeners","later":true}"#, r#""last":true"#),
        (r#"{"v":1,"type":"stats"}"#, r#""type":"stats""#),
    ] {
        rustix::net::send(&raw, said.as_bytes(), rustix::net::SendFlags::empty()).unwrap();
        let heard = hear();
        assert!(heard.contains(wanted), "{said}: {heard}");
    }
    client.send(&ToEdge::Stats, &[]).unwrap();
    wait_for(&client, |message| matches!(message, FromEdge::Stats(_)));
}
