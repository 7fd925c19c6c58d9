//! The edge as a whole: real sockets, real upstream servers, the real control socket.

mod balance;
mod certificates;
mod clients;
mod conformance;
mod content;
mod engine;
mod files;
mod fixture;
mod frames;
mod h2;
mod h2_attacks;
mod h2_peers;
mod h2_rules;
mod h2_websocket;
mod h2c;
mod hostility;
mod http;
mod lifecycle;
mod limits;
mod log;
mod maintenance;
mod methods;
mod metrics;
mod money;
mod nginx_limits;
mod patience;
mod process;
mod routing;
mod slow;
mod split;
mod times;
mod tls;
mod tls_client;
mod upstream_tls;
mod websocket;

#[test]
fn no_test_file_was_forgotten() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    let main = include_str!("main.rs");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.extension().is_some_and(|extension| extension == "rs") && module != "main" {
            assert!(main.contains(&format!("mod {module};")), "{module}");
        }
    }
}
