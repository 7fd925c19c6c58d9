//! The processes: an edge and its replicas, killed and started again. All of them end with the rig, by their ids.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tend_core::model::{Balance, Listener, Money, RoutePolicy, ServiceId, Spool};
use tend_edge::{ControlClient, FromEdge, ToEdge};
use tend_routing::{Maintenance, Replica, ReplicaState, Route, Service, Snapshot};

/// Nothing is waited for longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// An edge and the replicas behind it.
pub(crate) struct Rig {
    folder: PathBuf,
    program: PathBuf,
    pub(crate) listen: SocketAddr,
    replicas: Vec<(SocketAddr, Child)>,
    edge: Child,
    snapshot: Snapshot,
}

fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> io::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return Ok(found);
        }
        if Instant::now() > deadline {
            return Err(io::Error::other(format!("never came: {what}")));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// Returns where the books are kept.
pub(crate) fn books(folder: &Path) -> PathBuf {
    folder.join("books.db")
}

/// Returns where the edge keeps its keys.
pub(crate) fn vault(folder: &Path) -> PathBuf {
    folder.join("edge/money")
}

fn start_replica(folder: &Path, address: SocketAddr) -> io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .arg("--ledger")
        .arg(address.to_string())
        .arg("--folder")
        .arg(folder)
        .stdin(Stdio::null())
        .spawn()
}

fn start_edge(folder: &Path, program: &Path) -> io::Result<Child> {
    Command::new(program)
        .arg(folder.join("edge.sock"))
        .arg(folder.join("edge"))
        .args(["2", "0"])
        .stdin(Stdio::null())
        .spawn()
}

fn snapshot(listen: SocketAddr, replicas: &[SocketAddr], protected: bool) -> Snapshot {
    let id: ServiceId = "bench/ledger/1"
        .parse::<tend_core::model::ReplicaId>()
        .expect("a name of ours")
        .service_id();
    let route = |path: &str, money: Option<Money>| Route {
        listeners: Vec::new(),
        host: None,
        path_prefix: path.to_owned(),
        service: Some(id.clone()),
        quiet_paths: Vec::new(),
        policy: RoutePolicy {
            money,
            ..RoutePolicy::default()
        },
        maintenance: None,
        pause: None,
    };
    let spool = Spool {
        retry_first: Duration::from_millis(20),
        retry_max: Duration::from_secs(1),
        ..Spool::default()
    };
    Snapshot {
        generation: 1,
        listeners: vec![Listener::plain(listen)],
        routes: vec![
            route("/pay", protected.then(Money::default)),
            route(
                "/callbacks",
                Some(Money {
                    spool: Some(spool),
                    ..Money::default()
                }),
            ),
        ],
        services: vec![Service {
            id: id.clone(),
            internal: None,
            balance: Balance::default(),
            split: None,
            replicas: (1..)
                .zip(replicas)
                .map(|(slot, address)| Replica {
                    id: format!("{id}/{slot}").parse().expect("a name of ours"),
                    incarnation: 1,
                    address: *address,
                    weight: 1,
                    state: ReplicaState::Ready,
                    candidate: false,
                    release: None,
                })
                .collect(),
        }],
        ..Snapshot::empty()
    }
}

impl Rig {
    /// Starts them; where payments are not `protected`, their route is one like any other.
    pub(crate) fn start(folder: &Path, program: &Path, replicas: usize, protected: bool) -> io::Result<Self> {
        std::fs::create_dir_all(folder.join("edge"))?;
        let addresses: Vec<SocketAddr> = (0..replicas).map(|_| free_address()).collect::<io::Result<_>>()?;
        let listen = free_address()?;
        let snapshot = snapshot(listen, &addresses, protected);
        std::fs::write(folder.join("edge/snapshot.json"), snapshot.to_json())?;
        let replicas: io::Result<Vec<_>> = addresses
            .iter()
            .map(|address| Ok((*address, start_replica(folder, *address)?)))
            .collect();
        let rig = Self {
            folder: folder.to_owned(),
            program: program.to_owned(),
            listen,
            replicas: replicas?,
            edge: start_edge(folder, program)?,
            snapshot,
        };
        for address in addresses.iter().chain([&listen]) {
            eventually("a process to listen", || TcpStream::connect(address).ok())?;
        }
        Ok(rig)
    }

    /// Kills a replica and starts it again at the same address.
    pub(crate) fn kill_replica(&mut self, number: usize) -> io::Result<()> {
        let count = self.replicas.len();
        let (address, child) = &mut self.replicas[number % count];
        child.kill()?;
        child.wait()?;
        *child = start_replica(&self.folder, *address)?;
        Ok(())
    }

    /// Kills the edge and starts the next one, from what is on disk.
    pub(crate) fn kill_edge(&mut self) -> io::Result<()> {
        self.edge.kill()?;
        self.edge.wait()?;
        self.edge = start_edge(&self.folder, &self.program)?;
        Ok(())
    }

    /// Closes the route of callbacks, or opens it; returns when every thread of the edge serves it so.
    pub(crate) fn close_callbacks(&mut self, closed: bool) -> io::Result<()> {
        self.snapshot.generation += 1;
        self.snapshot.routes[1].maintenance = closed.then(Maintenance::default);
        let pid = self.edge.id();
        let path = self.folder.join("edge.sock");
        let client = eventually("the edge's control socket", || {
            let client = ControlClient::connect(&path).ok()?;
            let (hello, _) = client.receive(PATIENCE).ok()??;
            matches!(hello, FromEdge::Hello { pid: theirs, .. } if theirs == pid).then_some(client)
        })?;
        let snapshot = serde_json::to_value(&self.snapshot)?;
        client
            .send(&ToEdge::Snapshot { snapshot }, &[])
            .map_err(io::Error::other)?;
        let generation = self.snapshot.generation;
        eventually("the edge to serve it", || {
            let (message, _) = client.receive(PATIENCE).ok()??;
            matches!(message, FromEdge::Serving { generation: theirs, .. } if theirs == generation).then_some(())
        })
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for child in self.replicas.iter_mut().map(|(_, child)| child).chain([&mut self.edge]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
