//! A replica: says on its output which value it has in use, and since when by the clock that all processes share.

use std::io::Write;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use tend_base::{Clock, SystemClock};
use tend_config_client::Client;

use crate::error::Error;
use crate::round::KEY;

/// Says `NUMBER TIME`.
fn say(value: Option<&Value>) -> std::io::Result<()> {
    let now = SystemClock.now().mono.0;
    let Some(number) = value.and_then(Value::as_u64) else {
        return Ok(());
    };
    let mut output = std::io::stdout().lock();
    output.write_all(format!("{number} {now}\n").as_bytes())?;
    output.flush()
}

/// Takes values from the endpoint until it is killed.
pub(crate) fn watch(socket: &Path) -> Result<(), Error> {
    let client = Client::builder(socket).on(KEY, |change| Ok(say(change.new)?)).start();
    let _client = client.map_err(|source| Error::Client { source })?;
    loop {
        std::thread::park();
    }
}

/// Looks at the file until it is killed.
pub(crate) fn poll(file: &Path, every: Duration, offset: Duration) -> Result<(), Error> {
    let mut known = String::new();
    sleep(offset);
    loop {
        let text = std::fs::read_to_string(file).map_err(Error::file("read", file))?;
        if text != known {
            let values: Option<Value> = serde_json::from_str(&text).ok();
            say(values.as_ref().and_then(|values| values.get(KEY))).map_err(|source| Error::Say { source })?;
            known = text;
        }
        sleep(every);
    }
}
