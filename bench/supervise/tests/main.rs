//! The service of the comparison, run as the supervisors run it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
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

/// The service and its port. It chooses the port itself: one that a test found free could be somebody else's by the time the
/// service takes it.
fn start() -> (Service, u16) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench-supervise"));
    command.args(["service", "0"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut service = Service(child);
    let mut line = String::new();
    let stderr = service.0.stderr.take().unwrap();
    BufReader::new(stderr).read_line(&mut line).unwrap();
    (service, line.trim().parse().unwrap())
}

/// Waits for the service to end by itself.
fn end_of(service: &mut Service) -> Option<i32> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(status) = service.0.try_wait().unwrap() {
            return status.code();
        }
        assert!(Instant::now() < deadline, "the service did not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn ask(port: u16, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    Ok(body.to_owned())
}

#[test]
fn the_service_tells_its_process_and_floods_numbered_lines() {
    let (mut service, port) = start();
    assert_eq!(ask(port, "/health").unwrap(), format!("ok {}", service.0.id()));
    assert_eq!(ask(port, "/flood?mb=1&secs=1").unwrap(), "started");
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
    assert_eq!(end_of(&mut service), Some(141));
}
