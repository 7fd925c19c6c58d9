//! Remote write 1.0: bodies that others send, and those that we send. `snappy` packs them, `wire` is protocol buffers, this file the message.
//!
//! Exemplars and native histograms are left out and counted. Invariant: no bytes make it panic, or take more memory than [`BYTES_MAX`] and a
//! fixed multiple of the body (test `fuzz_corpus_remote_write`).

mod snappy;
mod wire;

use tend_promql::{Labels, METRIC_NAME, Sample};

use self::wire::{Field, Reader, Wire};
use crate::error::BodyError;

/// A body may unpack to no more than this, in bytes.
pub(crate) const BYTES_MAX: usize = 64 << 20;
/// A series may have no more labels than this.
const LABELS_MAX: usize = 1000;

/// What somebody sends, or is sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WriteRequest {
    /// Series with their samples.
    pub series: Vec<WrittenSeries>,
    /// What is said of metrics.
    pub metadata: Vec<WrittenMetadata>,
    /// Series that were left out because their labels are none: no name, or a name twice.
    pub invalid: usize,
    /// Exemplars and native histograms that were left out.
    pub unsupported: usize,
}

/// A series and some samples of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WrittenSeries {
    /// Which.
    pub labels: Labels,
    /// Its samples, in the order they were sent.
    pub samples: Vec<Sample>,
}

/// What is said of a metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WrittenMetadata {
    /// Its name.
    pub metric: String,
    /// `counter`, `gauge` and so on; `unknown` when it is not said.
    pub kind: &'static str,
    /// What it is, for people.
    pub help: String,
    /// Its unit.
    pub unit: String,
}

/// Kinds of metrics by their number in the message.
const KINDS: [&str; 8] = [
    "unknown",
    "counter",
    "gauge",
    "histogram",
    "gaugehistogram",
    "summary",
    "info",
    "stateset",
];

/// Reads a body.
///
/// # Errors
/// When it is none. Series whose labels are none are left out and counted.
pub fn decode_write(body: &[u8]) -> Result<WriteRequest, BodyError> {
    let message = snappy::unpack(body, BYTES_MAX)?;
    let mut out = WriteRequest::default();
    let mut reader = Reader::new(&message);
    while let Some(field) = reader.next()? {
        match field {
            Field {
                number: 1,
                value: Wire::Bytes(bytes),
            } => series(bytes, &mut out)?,
            Field {
                number: 3,
                value: Wire::Bytes(bytes),
            } => out.metadata.push(metadata(bytes)?),
            Field { number: 1 | 3, .. } => return Err(BodyError::Message("wrong wire type")),
            _ => {}
        }
    }
    Ok(out)
}

fn series(bytes: &[u8], out: &mut WriteRequest) -> Result<(), BodyError> {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    let mut samples = Vec::new();
    let mut reader = Reader::new(bytes);
    while let Some(field) = reader.next()? {
        match (field.number, field.value) {
            (1, Wire::Bytes(bytes)) if pairs.len() < LABELS_MAX => pairs.push(label(bytes)?),
            (1, Wire::Bytes(_)) => return Err(BodyError::Message("a series has more than 1000 labels")),
            (2, Wire::Bytes(bytes)) => samples.push(sample(bytes)?),
            (3 | 4, Wire::Bytes(_)) => out.unsupported += 1,
            (1..=4, _) => return Err(BodyError::Message("wrong wire type")),
            _ => {}
        }
    }
    pairs.sort_unstable();
    let named = pairs
        .iter()
        .any(|(name, value)| *name == METRIC_NAME && !value.is_empty());
    let twice = pairs.windows(2).any(|two| two[0].0 == two[1].0);
    if !named || twice || pairs.iter().any(|(name, _)| name.is_empty()) {
        out.invalid += 1;
        return Ok(());
    }
    out.series.push(WrittenSeries {
        labels: Labels::from_sorted(pairs),
        samples,
    });
    Ok(())
}

fn label(bytes: &[u8]) -> Result<(&str, &str), BodyError> {
    let (mut name, mut value) = ("", "");
    let mut reader = Reader::new(bytes);
    while let Some(field) = reader.next()? {
        match (field.number, field.value) {
            (1, Wire::Bytes(bytes)) => name = text(bytes)?,
            (2, Wire::Bytes(bytes)) => value = text(bytes)?,
            (1 | 2, _) => return Err(BodyError::Message("wrong wire type")),
            _ => {}
        }
    }
    Ok((name, value))
}

fn sample(bytes: &[u8]) -> Result<Sample, BodyError> {
    let mut sample = Sample { time: 0, value: 0.0 };
    let mut reader = Reader::new(bytes);
    while let Some(field) = reader.next()? {
        match (field.number, field.value) {
            (1, Wire::Eight(bits)) => sample.value = f64::from_bits(bits),
            // A negative number is the same 64 bits.
            (2, Wire::Number(number)) => sample.time = number.cast_signed(),
            (1 | 2, _) => return Err(BodyError::Message("wrong wire type")),
            _ => {}
        }
    }
    Ok(sample)
}

fn metadata(bytes: &[u8]) -> Result<WrittenMetadata, BodyError> {
    let mut out = WrittenMetadata {
        kind: KINDS[0],
        ..WrittenMetadata::default()
    };
    let mut reader = Reader::new(bytes);
    while let Some(field) = reader.next()? {
        match (field.number, field.value) {
            (1, Wire::Number(number)) => {
                let known = usize::try_from(number).ok().and_then(|number| KINDS.get(number));
                out.kind = known.copied().unwrap_or(KINDS[0]);
            }
            (2, Wire::Bytes(bytes)) => text(bytes)?.clone_into(&mut out.metric),
            (4, Wire::Bytes(bytes)) => text(bytes)?.clone_into(&mut out.help),
            (5, Wire::Bytes(bytes)) => text(bytes)?.clone_into(&mut out.unit),
            (1 | 2 | 4 | 5, _) => return Err(BodyError::Message("wrong wire type")),
            _ => {}
        }
    }
    Ok(out)
}

fn text(bytes: &[u8]) -> Result<&str, BodyError> {
    std::str::from_utf8(bytes).map_err(|_| BodyError::Message("a text is not UTF-8"))
}

/// Writes a body: what is to be sent with `Content-Encoding: snappy`, `Content-Type: application/x-protobuf` and
/// `X-Prometheus-Remote-Write-Version: 0.1.0`. Samples of a series are to be in the order of time.
#[must_use]
pub fn encode_write(series: &[WrittenSeries], metadata: &[WrittenMetadata]) -> Vec<u8> {
    let mut message = Vec::new();
    let (mut one, mut inner) = (Vec::new(), Vec::new());
    for of in series {
        one.clear();
        for (name, value) in of.labels.iter() {
            inner.clear();
            wire::bytes(&mut inner, 1, name.as_bytes());
            wire::bytes(&mut inner, 2, value.as_bytes());
            wire::bytes(&mut one, 1, &inner);
        }
        for sample in &of.samples {
            inner.clear();
            wire::eight(&mut inner, 1, sample.value.to_bits());
            wire::number(&mut inner, 2, sample.time.cast_unsigned());
            wire::bytes(&mut one, 2, &inner);
        }
        wire::bytes(&mut message, 1, &one);
    }
    for said in metadata {
        one.clear();
        let kind = KINDS.iter().position(|kind| *kind == said.kind).unwrap_or_default();
        wire::number(&mut one, 1, kind as u64);
        wire::bytes(&mut one, 2, said.metric.as_bytes());
        wire::bytes(&mut one, 4, said.help.as_bytes());
        wire::bytes(&mut one, 5, said.unit.as_bytes());
        wire::bytes(&mut message, 3, &one);
    }
    snappy::pack(&message)
}
