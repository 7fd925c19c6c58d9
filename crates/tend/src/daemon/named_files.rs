//! The files that the chapter `edge` of a stack names: looked at before anything is changed, and never written.
//!
//! Knows neither when certificates are taken nor what the edge makes of the files.

use std::path::PathBuf;

use tend_api::{ApiError, Class};
use tend_core::model::Stack;

use super::certificates::{NotTaken, can_be_served, key_owner};

/// Returns why certificates of a stack could not be served; `daemon_uid` is the user the daemon runs as.
pub(crate) fn certificates_refused(stack: &Stack, daemon_uid: u32) -> Vec<NotTaken> {
    let tls = &stack.edge.tls;
    let owner = key_owner(daemon_uid, stack.source.owner_uid);
    let given = tls.certificates.iter();
    let mut refused: Vec<NotTaken> = given.filter_map(|files| can_be_served(files, owner).err()).collect();
    let roots = tls.clients.as_ref().map(|clients| &clients.roots);
    for roots in roots
        .into_iter()
        .chain(tls.acme.as_ref().and_then(|acme| acme.root.as_ref()))
    {
        if let Err(error) = std::fs::read(roots) {
            refused.push(NotTaken::unreadable(roots, &error));
        }
    }
    let upstreams = stack.edge.upstreams.values();
    for roots in upstreams.filter_map(|upstream| upstream.balance.tls.as_ref()?.roots.as_ref()) {
        if let Err(error) = tend_edge::check_authorities(roots) {
            refused.push(NotTaken {
                why: tend_base::without_os_numbers(&tend_base::with_causes(&error)),
                hint: "`roots` names a file with the certificates of the authorities that are trusted, in PEM, which the daemon's user can read"
                    .to_owned(),
            });
        }
    }
    refused
}

/// Refuses a stack whose certificates could not be served. Blocks on the disk.
pub(crate) fn check_certificates(stack: &Stack, daemon_uid: u32) -> Result<(), ApiError> {
    let refused = certificates_refused(stack, daemon_uid);
    let Some(first) = refused.first() else {
        return Ok(());
    };
    let mut error = ApiError::new(
        Class::Config,
        format!(
            "the stack {} cannot be brought up: a certificate it names cannot be served, and nothing was changed",
            stack.name
        ),
    )
    .hint(first.hint.clone());
    for not_taken in refused {
        error = error.detail(not_taken.why);
    }
    Err(error)
}

/// Says which error pages are not there as the stack names them. Clients then see a text of the edge's own. Blocks on the disk.
pub(crate) fn missing_pages(stack: &Stack) -> Vec<String> {
    let mut missing = Vec::new();
    for route in &stack.edge.routes {
        for page in &route.policy.error_pages {
            let why = match std::fs::File::open(&page.file).and_then(|file| file.metadata()) {
                Err(error) => tend_base::without_os_numbers(&error.to_string()),
                Ok(metadata) if !metadata.is_file() => "it is no file".to_owned(),
                Ok(metadata) if metadata.len() > tend_edge::ERROR_PAGE_BYTES_MAX => format!(
                    "it has {}, and a page has at most {}",
                    tend_base::format_bytes(metadata.len()),
                    tend_base::format_bytes(tend_edge::ERROR_PAGE_BYTES_MAX)
                ),
                Ok(_) => continue,
            };
            let host = route.host.as_deref().unwrap_or("*");
            missing.push((host.to_owned(), route.path_prefix.clone(), page.file.clone(), why));
        }
    }
    missing.dedup();
    missing.into_iter().map(|missing| page_text(&missing)).collect()
}

fn page_text((host, path, file, why): &(String, String, PathBuf, String)) -> String {
    format!(
        "the error page `{}` of the route {host}{path} cannot be shown: {why}; clients see a text of the edge's own until it is there at \
         the next `tend up`",
        file.display()
    )
}

/// Does what blocks on the disk beside the daemon's own thread.
pub(crate) async fn looked_at<T: Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(look)
        .await
        .expect("invariant: looking at files does not panic")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn stack(edge: serde_json::Value) -> Stack {
        serde_json::from_value(json!({
            "name": "shop",
            "source": { "files": [], "directory": "/", "owner_uid": 0, "owner_gid": 0 },
            "services": {},
            "edge": edge,
        }))
        .unwrap()
    }

    #[test]
    fn every_file_that_cannot_be_served_is_named_at_once() {
        let shop = stack(json!({
            "listeners": [],
            "routes": [],
            "tls": {
                "certificates": [{ "chain": "/nowhere/own.pem", "key": "/nowhere/own.key" }],
                "clients": { "roots": "/nowhere/clients.pem", "optional": false },
            },
            "upstreams": {
                "bank": { "balance": { "tls": { "roots": "/nowhere/bank.pem" } } },
                // Is there and has no certificate.
                "post": { "balance": { "tls": { "roots": "/proc/version" } } },
                "card": { "balance": { "tls": { "verify": false } } },
            },
        }));
        let refused = check_certificates(&shop, 0).unwrap_err();
        assert_eq!(refused.class, Class::Config);
        assert_eq!(refused.details.len(), 4, "{refused:?}");
        assert!(
            refused.details[0].contains("could not read `/nowhere/own.pem`"),
            "{refused:?}"
        );
        assert!(
            refused.details[1].contains("could not read `/nowhere/clients.pem`"),
            "{refused:?}"
        );
        let of_servers = &refused.details[2..];
        assert!(
            of_servers[0].contains("could not read the certificate file `/nowhere/bank.pem`: No such file"),
            "{refused:?}"
        );
        assert!(
            of_servers[1].contains("`/proc/version`: it has no certificate in PEM"),
            "{refused:?}"
        );
        let none = stack(json!({ "listeners": [], "routes": [] }));
        assert_eq!(check_certificates(&none, 0), Ok(()));
    }

    #[test]
    fn an_error_page_that_is_not_there_is_said_with_its_route() {
        let folder = std::env::temp_dir().join(format!("tend-pages-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let there = folder.join("there.html");
        std::fs::write(&there, "<p>soon").unwrap();
        let pages = json!([
            { "statuses": [502], "file": there },
            { "statuses": [503], "file": "/nowhere/503.html" },
            { "statuses": [504], "file": folder },
        ]);
        let shop = stack(json!({
            "listeners": [],
            "routes": [{ "listeners": [], "host": "shop.test", "path_prefix": "/", "policy": { "error_pages": pages } }],
        }));
        let missing = missing_pages(&shop);
        assert_eq!(missing.len(), 2, "{missing:?}");
        assert!(
            missing[0].starts_with(
                "the error page `/nowhere/503.html` of the route shop.test/ cannot be shown: No such file"
            ),
            "{missing:?}"
        );
        assert!(missing[1].contains("it is no file"), "{missing:?}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
