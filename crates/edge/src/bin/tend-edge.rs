//! An edge alone, without a daemon: what tests kill and benches measure. What is shipped is the role `tend edge`.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use tend_edge::{EdgeConfig, LogRotation, Patience, edge_main};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [control_socket, state_folder, threads, handover_ms] = &arguments[..] else {
        return fail("usage: tend-edge CONTROL-SOCKET STATE-FOLDER THREADS HANDOVER-MS");
    };
    let (Ok(threads), Ok(handover_ms)) = (threads.parse(), handover_ms.parse()) else {
        return fail("THREADS and HANDOVER-MS are numbers");
    };
    let config = EdgeConfig {
        control_socket: control_socket.into(),
        state_folder: state_folder.into(),
        threads,
        handover_wait: Duration::from_millis(handover_ms),
        drain_wait: Duration::from_secs(30),
        patience: Patience::default(),
        log_rotation: LogRotation::default(),
        build: env!("CARGO_PKG_VERSION").to_owned(),
    };
    match edge_main(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("{error}\n{}", error.hint())),
    }
}

fn fail(text: &str) -> ExitCode {
    // Nowhere else to say it.
    let _ = writeln!(std::io::stderr(), "tend-edge: {text}");
    ExitCode::FAILURE
}
