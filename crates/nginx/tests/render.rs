//! What is rendered is read by nginx itself, and comes back to nearly the same stack.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tend_nginx::{import, render};

use crate::import::stack;

/// Configurations of `tests/cases` that are rendered again.
const CASES: [&str; 2] = ["whole.conf", "tls.conf"];

fn configuration(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name);
    std::fs::read_to_string(path).unwrap()
}

fn servers(_: &tend_core::model::ServiceName) -> Vec<SocketAddr> {
    vec!["127.0.0.1:3001".parse().unwrap(), "127.0.0.1:3002".parse().unwrap()]
}

#[test]
fn what_is_rendered_is_what_is_expected() {
    for name in CASES {
        let imported = import(&configuration(name), &mut |_| None).unwrap();
        let found = render(&stack(&imported), &servers);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rendered").join(name);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &found).unwrap();
        }
        assert_eq!(found, std::fs::read_to_string(&path).unwrap_or_default(), "{name}");
    }
}

#[test]
fn nginx_reads_what_is_rendered() {
    let folder = std::env::temp_dir().join(format!("tend-nginx-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let key = folder.join("tls.key");
    let certificate = folder.join("tls.pem");
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args(["-subj", "/CN=shop.example.com", "-days", "2"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for name in CASES {
        let imported = import(&configuration(name), &mut |_| None).unwrap();
        // The folders of the machine's nginx are not for a test: what it writes goes into one of its own.
        let rendered = render(&stack(&imported), &servers)
            .replace("include mime.types;", "types { text/html html; }")
            .replace("/etc/nginx/ssl/shop.pem", certificate.to_str().unwrap())
            .replace("/etc/nginx/ssl/shop.key", key.to_str().unwrap())
            .replace("/etc/nginx/ssl/clients.pem", certificate.to_str().unwrap())
            .replace("/etc/ssl/bank.pem", certificate.to_str().unwrap())
            .replace("/var/log/nginx/access.log", folder.join("access.log").to_str().unwrap());
        let file = folder.join("nginx.conf");
        let head = format!("pid {}/nginx.pid;\nerror_log stderr;\n", folder.display());
        std::fs::write(&file, head + &rendered).unwrap();
        let said = Command::new("nginx")
            .arg("-t")
            .arg("-p")
            .arg(&folder)
            .arg("-c")
            .arg(&file)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success(), "{name}: {told}\n{rendered}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
