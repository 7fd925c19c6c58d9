//! Requests and answers that are held whole: what [`crate::engine::call`] takes and gives. Knows no HTTP library and no connection.

use bytes::Bytes;

use crate::live::Replica;

/// The largest answer that is held in memory, in bytes. What a route keeps of answers is its own, smaller limit.
pub(crate) const ANSWER_BYTES_MAX: usize = 16 << 20;

/// A request that is held whole, so that it can be compared, kept and sent again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BufferedRequest {
    pub(crate) method: String,
    /// Path and query as the client wrote them; what a replica is asked for is [`crate::exchange::Exchange::target`].
    pub(crate) target: String,
    /// As they go to a replica: names in lower case, without framing and hop-by-hop ones.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Bytes,
}

/// An answer that is held whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BufferedAnswer {
    pub(crate) status: u16,
    /// As the replica wrote them: names in lower case, without framing and hop-by-hop ones.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Bytes,
    /// Who answered, as `mps/api/1`.
    pub(crate) replica: String,
    /// In which of its lives.
    pub(crate) incarnation: u64,
}

impl BufferedAnswer {
    /// Returns the answer of a replica, taking out what only the edge may say.
    pub(crate) fn of(replica: &Replica, status: u16, fields: Vec<(String, Vec<u8>)>, body: Bytes) -> Self {
        Self {
            status,
            fields,
            body,
            replica: replica.name.to_string(),
            incarnation: replica.incarnation,
        }
    }
}
