//! Remote write 1.0: bodies that others send, and those that we send. `snappy` packs them, `wire` is protocol buffers, this file the message.
//!
//! Exemplars and native histograms are left out and counted. Invariant: no bytes make it panic (test `fuzz_corpus_remote_write`), or take more
//! memory than the bounds below allow: some 100 MB, whatever a body says.

mod batch;
mod snappy;
mod wire;

pub use batch::Batch;

use tend_promql::{Labels, METRIC_NAME, Sample};

use self::wire::{Reader, Wire};
use crate::error::BodyError;

/// A body may unpack to no more than this, in bytes; what Prometheus takes.
pub(crate) const BYTES_MAX: usize = 32 << 20;
/// A series may have no more labels than this.
const LABELS_MAX: usize = 1000;
/// A body may have no more samples than this; senders put some thousands into one.
const SAMPLES_MAX: usize = 1_000_000;
/// A body may have no more series than this.
const SERIES_MAX: usize = 200_000;
/// A body may say something of no more metrics than this.
const METADATA_MAX: usize = 50_000;

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
    let mut samples = 0;
    let mut reader = Reader::new(&message);
    while let Some(field) = reader.next()? {
        match (field.number, field.value) {
            (1, Wire::Bytes(_)) if out.series.len() >= SERIES_MAX => {
                return Err(BodyError::Message("more than 200000 series; send smaller batches"));
            }
            (1, Wire::Bytes(bytes)) => series(bytes, &mut out, &mut samples)?,
            (3, Wire::Bytes(_)) if out.metadata.len() >= METADATA_MAX => {
                return Err(BodyError::Message(
                    "metadata of more than 50000 metrics; send smaller batches",
                ));
            }
            (3, Wire::Bytes(bytes)) => out.metadata.push(metadata(bytes)?),
            (1 | 3, _) => return Err(BodyError::Message("wrong wire type")),
            _ => {}
        }
    }
    Ok(out)
}

/// Reads a series; `read` counts the samples of all.
fn series(bytes: &[u8], out: &mut WriteRequest, read: &mut usize) -> Result<(), BodyError> {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    let mut samples = Vec::new();
    let mut reader = Reader::new(bytes);
    while let Some(field) = reader.next()? {
        match (field.number, field.value) {
            (1, Wire::Bytes(_)) if pairs.len() >= LABELS_MAX => {
                return Err(BodyError::Message("a series has more than 1000 labels"));
            }
            (1, Wire::Bytes(bytes)) => pairs.push(label(bytes)?),
            (2, Wire::Bytes(_)) if *read >= SAMPLES_MAX => {
                return Err(BodyError::Message("more than 1000000 samples; send smaller batches"));
            }
            (2, Wire::Bytes(bytes)) => {
                *read += 1;
                samples.push(sample(bytes)?);
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_would_be_too_much_is_refused() {
        // Each is of two bytes that say nothing.
        for (field, most, what) in [(1, SERIES_MAX, None), (3, METADATA_MAX, Some("50000 metrics"))] {
            let mut message = Vec::new();
            for _ in 0..=most {
                wire::bytes(&mut message, field, b"");
            }
            let read = decode_write(&snappy::pack(&message));
            match what {
                // Without a name they are left out, and take no room.
                None => assert_eq!(read.map(|read| (read.series.len(), read.invalid)), Ok((0, most + 1))),
                Some(what) => assert!(read.is_err_and(|error| error.to_string().contains(what))),
            }
        }
        let mut one = Vec::new();
        for _ in 0..=SAMPLES_MAX {
            wire::bytes(&mut one, 2, b"");
        }
        let mut message = Vec::new();
        wire::bytes(&mut message, 1, &one);
        let error = decode_write(&snappy::pack(&message)).expect_err("too many");
        assert!(error.to_string().contains("1000000 samples"), "{error}");
        let error = decode_write(&snappy::pack(&vec![0; BYTES_MAX + 1])).expect_err("too long");
        assert_eq!(
            error,
            BodyError::TooLarge {
                bytes: BYTES_MAX as u64 + 1
            }
        );
    }
}
