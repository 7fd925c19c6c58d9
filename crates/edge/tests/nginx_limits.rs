//! Our limits beside those of a real nginx, on the same arrivals: the same requests are admitted, to within one.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::num::NonZeroU32;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tend_core::model::{Limit, LimitKey, Rate};

use crate::fixture::{Folder, PATIENCE, Upstream, api, eventually};

/// An nginx of this test's own, on a Unix socket, so that no port has to be free.
struct Nginx(Child);

impl Nginx {
    fn start(folder: &Path, limit_req: &str) -> Self {
        std::fs::write(folder.join("index.html"), "admitted").unwrap();
        let folder_text = folder.display();
        let configuration = format!(
            "daemon off; master_process off; pid {folder_text}/nginx.pid; error_log {folder_text}/error.log;\n\
             events {{ worker_connections 512; }}\n\
             http {{\n\
               access_log off;\n\
               client_body_temp_path {folder_text}/body; proxy_temp_path {folder_text}/proxy;\n\
               fastcgi_temp_path {folder_text}/fastcgi; uwsgi_temp_path {folder_text}/uwsgi; scgi_temp_path {folder_text}/scgi;\n\
               limit_req_zone $request_method zone=all:1m rate=10r/s;\n\
               limit_req_status 429;\n\
               server {{ listen unix:{folder_text}/nginx.sock; root {folder_text}; limit_req zone=all {limit_req}; }}\n\
             }}\n"
        );
        let file = folder.join("nginx.conf");
        std::fs::write(&file, configuration).unwrap();
        let mut child = Command::new("nginx")
            .arg("-c")
            .arg(&file)
            .arg("-p")
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx, of the Debian package nginx-light");
        let socket = folder.join("nginx.sock");
        eventually("nginx", || {
            assert!(child.try_wait().unwrap().is_none(), "{}", error_log(folder));
            UnixStream::connect(&socket).ok()
        });
        Self(child)
    }
}

fn error_log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("error.log")).unwrap_or_default()
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// When requests arrive, in milliseconds: all at once, then alone, in pairs, and in a burst again. None comes near the moment at
/// which a place becomes free, so that it matters little by how much the two are asked apart.
fn arrivals() -> Vec<u64> {
    let mut all = vec![0; 35];
    all.extend([150, 250, 250, 250, 550, 550, 555, 560, 565, 850]);
    all.extend([1850; 18]);
    all.extend([2050, 2050, 2050, 2350]);
    all
}

const REQUEST: &[u8] = b"GET /index.html HTTP/1.1\r\nHost: any.test\r\nConnection: close\r\n\r\n";

fn is_admitted(mut stream: impl Read) -> bool {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let head = String::from_utf8_lossy(&answer);
    match head.split(' ').nth(1) {
        Some("200") => true,
        Some("429") => false,
        _ => panic!("{head}"),
    }
}

/// Sends the same arrivals to both, and says of each who was admitted.
fn compare(limit_req: &str, delay_after: Option<u32>) {
    let folder = Folder::new();
    let _nginx = Nginx::start(&folder.0, limit_req);
    let upstream = Upstream::named("admitted");
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    plan.snapshot.routes[0].policy.limits = vec![Limit {
        name: "all".to_owned(),
        key: LimitKey::Route,
        rate: Rate {
            requests: NonZeroU32::new(10).unwrap(),
            per: Duration::from_secs(1),
            burst: 20,
            delay_after,
        },
        shadow: false,
        message: None,
    }];
    edge.serve(&plan.next());
    // Connections are made beforehand, so that only the requests are on the clock.
    let arrivals = arrivals();
    let mut pairs: Vec<(TcpStream, UnixStream)> = arrivals
        .iter()
        .map(|_| {
            let ours = TcpStream::connect(listen).unwrap();
            let theirs = UnixStream::connect(folder.0.join("nginx.sock")).unwrap();
            ours.set_read_timeout(Some(PATIENCE)).unwrap();
            theirs.set_read_timeout(Some(PATIENCE)).unwrap();
            (ours, theirs)
        })
        .collect();
    let began = Instant::now();
    for (at, (ours, theirs)) in arrivals.iter().zip(&mut pairs) {
        eventually("its time", || {
            (began.elapsed() >= Duration::from_millis(*at)).then_some(())
        });
        ours.write_all(REQUEST).unwrap();
        theirs.write_all(REQUEST).unwrap();
    }
    let outcomes: Vec<(bool, bool)> = pairs
        .into_iter()
        .map(|(ours, theirs)| (is_admitted(ours), is_admitted(theirs)))
        .collect();
    let told = format!("{limit_req}: (ours, nginx's) at {arrivals:?} were {outcomes:?}");
    // Never more than one apart, after any group: of those that come at one moment, either may see one before another.
    let (mut ours, mut theirs) = (0i32, 0i32);
    for (number, (our, their)) in outcomes.iter().enumerate() {
        ours += i32::from(*our);
        theirs += i32::from(*their);
        let group_ends = arrivals.get(number + 1).is_none_or(|next| next - arrivals[number] > 50);
        assert!(!group_ends || (ours - theirs).abs() <= 1, "after {number}: {told}");
    }
    // The trace does both to somebody: 21 at once and about one each 100 ms.
    assert!((38..=52).contains(&ours) && outcomes.len() as i32 > ours, "{told}");
    let told = edge.stats().limits[0].clone();
    assert_eq!(told.admitted + told.delayed, ours as u64);
    assert_eq!(told.delayed > 0, delay_after.is_some(), "{told:?}");
}

#[test]
fn the_guides_limit_admits_what_nginx_admits() {
    compare("burst=20 nodelay", None);
}

#[test]
fn a_limit_that_delays_admits_what_nginx_admits() {
    compare("burst=20", Some(0));
}

#[test]
fn a_limit_that_delays_the_later_ones_admits_what_nginx_admits() {
    compare("burst=20 delay=8", Some(8));
}
