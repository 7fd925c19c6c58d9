//! The service of the comparison, run as the supervisors run it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Ends the service when the test ends, however that is.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start() -> (Service, u16) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench-supervise"));
    command.args(["service", &port.to_string()]).stdout(Stdio::piped());
    (Service(command.spawn().unwrap()), port)
}

/// Asks until there is an answer; the service may still be starting.
fn get(port: u16, path: &str) -> String {
    // While nobody listens yet, a connection to a port of the kernel's own range may meet itself.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match ask(port, path) {
            Ok(answer) => return answer,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    }
}

/// As [`get`], of a service that may end while it answers.
fn ask(port: u16, path: &str) -> std::io::Result<String> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
            let mut answer = String::new();
            write!(stream, "GET {path} HTTP/1.1\r\n\r\n")?;
            stream.read_to_string(&mut answer)?;
            let body = answer
                .split_once("\r\n\r\n")
                .ok_or(std::io::ErrorKind::UnexpectedEof)?
                .1;
            return Ok(body.to_owned());
        }
        assert!(Instant::now() < deadline, "no answer");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_service_tells_its_process_and_floods_numbered_lines() {
    let (mut service, port) = start();
    assert_eq!(get(port, "/health"), format!("ok {}", service.0.id()));
    assert_eq!(get(port, "/flood?mb=1&secs=1"), "started");
    let lines = BufReader::new(service.0.stdout.take().unwrap()).lines();
    for (number, line) in lines.take(1000).map(Result::unwrap).enumerate() {
        assert_eq!(line.len(), 249);
        assert!(line.starts_with(&format!("FLOOD {port:05} {number:09} xxx")), "{line}");
    }
}

#[test]
fn the_service_ends_when_nobody_reads_it_any_more() {
    let (mut service, port) = start();
    drop(service.0.stdout.take());
    // The answer races with the end it leads to; the end is what counts.
    if let Ok(answer) = ask(port, "/talk") {
        assert_eq!(answer, "talking");
    }
    assert_eq!(service.0.wait().unwrap().code(), Some(141));
}
