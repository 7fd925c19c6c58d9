//! What keeps the driver from measuring at all. Failed requests are no errors but figures.

/// A run that could not be made or judged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A server's address is not one.
    #[error("`{0}` is not an address the driver can use: give http://HOST:PORT")]
    Address(String),
    /// A setting that no run can have.
    #[error("{0}")]
    Setting(&'static str),
    /// The runtime could not be started.
    #[error("could not start the runtime")]
    Runtime(#[source] std::io::Error),
    /// The server did not give a usable answer to a request outside the load itself, again and again.
    #[error("`{what}` was not answered as expected within {seconds} s; last: {last}")]
    Unanswered {
        /// Method and path.
        what: String,
        /// For how long it was tried.
        seconds: u64,
        /// The last failure or answer.
        last: String,
    },
    /// The cards to pay with are not there.
    #[error("the card `{0}` is not there: start the service with MPS_SEED=demo, or ask for fewer --cards")]
    CardMissing(String),
}
