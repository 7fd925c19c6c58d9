//! Asks a target over HTTP. Knows how who we are is told, and what an answer with metrics looks like; not what is in it.

use std::path::PathBuf;
use std::time::Duration;

use tend_base::{Secret, read_owned};
use tend_exposition::Format;
use tend_fetch::{Address, Auth, Client, FetchError, Request};

use crate::config::{Authorization, Given, Settings};
use crate::error::ScrapeError;
use crate::round::Body;

/// Redirects that are followed, as Go's client does.
const REDIRECTS_MAX: u8 = 10;

/// Bytes of a file with a password or a token.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Asks once; ends within the timeout.
pub(crate) async fn ask(client: &Client, settings: &Settings, url: &str, timeout_ms: i64) -> Result<Body, ScrapeError> {
    let failed = |source: FetchError| ScrapeError::Ask { source };
    let within = Duration::from_millis(timeout_ms.unsigned_abs());
    let mut request = Request::get(Address::parse(url).map_err(failed)?);
    request.within = within;
    request.connect_within = within;
    request.gzip = settings.compression;
    request.redirects = if settings.http.follow_redirects {
        REDIRECTS_MAX
    } else {
        0
    };
    request.answer_bytes_max = usize::try_from(settings.limits.body_bytes).unwrap_or(usize::MAX);
    request.header("Accept", &settings.accept());
    request.header("X-Prometheus-Scrape-Timeout-Seconds", &within.as_secs_f64().to_string());
    let owner = settings.http.tls.owner;
    request.auth = match &settings.http.authorization {
        Some(authorization) => Some(auth(authorization, owner).await?),
        None => None,
    };
    for (name, value) in &settings.http.headers {
        request.secret_header(name, &read(value, owner).await?);
    }
    let answer = client.send(&request).await.map_err(failed)?;
    if answer.status != 200 {
        let status = answer.status;
        return Err(ScrapeError::Status { status });
    }
    if answer.cut {
        let limit = settings.limits.body_bytes;
        return Err(ScrapeError::TooLarge { limit });
    }
    let format = Format::of_content_type(answer.header("Content-Type").unwrap_or_default());
    let bytes = answer.body.into_bytes();
    Ok(Body { bytes, format })
}

async fn auth(authorization: &Authorization, owner: Option<u32>) -> Result<Auth, ScrapeError> {
    Ok(match authorization {
        Authorization::Basic { username, password } => Auth::Basic {
            user: read(username, owner).await?.expose().to_owned(),
            password: read(password, owner).await?,
        },
        Authorization::Credentials { scheme, credentials } => {
            let credentials = read(credentials, owner).await?;
            if scheme == "Bearer" {
                Auth::Bearer(credentials)
            } else {
                Auth::Custom(Secret::new(format!("{scheme} {}", credentials.expose())))
            }
        }
    })
}

/// A value, from its file where it has one: who rotates it only has to write the file.
async fn read(given: &Given, owner: Option<u32>) -> Result<Secret, ScrapeError> {
    let path = match given {
        Given::Value(value) => return Ok(value.clone()),
        Given::File(path) => path.clone(),
    };
    let read = tokio::task::spawn_blocking(move || read_file(path, owner)).await;
    // The task is never cancelled, and what it does does not panic.
    read.unwrap_or_else(|gone| std::panic::resume_unwind(gone.into_panic()))
}

fn read_file(path: PathBuf, owner: Option<u32>) -> Result<Secret, ScrapeError> {
    let text = read_owned(&path, owner, SECRET_BYTES_MAX)
        .and_then(|bytes| String::from_utf8(bytes).map_err(std::io::Error::other));
    match text {
        Ok(text) => {
            let whole = Secret::new(text);
            Ok(Secret::new(whole.expose().trim().to_owned()))
        }
        Err(source) => Err(ScrapeError::ReadSecret { path, source }),
    }
}
