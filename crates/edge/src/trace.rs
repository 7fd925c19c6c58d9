//! The context of a trace (W3C Trace Context): a client's is passed on under a span of our own, or one is made.
//!
//! Knows no exporter: the edge tells nobody of its spans. What it gives is one id in its log and in what services record.

use tend_routing::Fields;

/// Of the flags of version 00: sampled, and (level 2) that the id was drawn at random.
const FLAGS_KNOWN: u8 = 0b11;

/// What a trace that begins here says. Not marked as sampled, services that follow the parent would record nothing.
const FLAGS_OF_OURS: u8 = 0b11;

/// Bytes of a `traceparent`.
pub(crate) const BYTES: usize = 55;

/// The trace a request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    /// 32 digits.
    id: [u8; 32],
    /// Of this hop.
    span: u64,
    flags: u8,
    /// The client began it, so its `tracestate` belongs to it.
    pub(crate) is_clients: bool,
}

impl Trace {
    /// Returns the request's trace under a new span, or a new trace.
    pub(crate) fn of(fields: &Fields<'_>, random: impl Fn() -> u64) -> Self {
        let mut found = None;
        let mut lines = 0;
        fields("traceparent", &mut |line| {
            lines += 1;
            found = parent(line);
            false
        });
        let span = random().max(1);
        match found.filter(|_| lines == 1) {
            Some((id, flags)) => Self {
                id,
                span,
                flags: flags & FLAGS_KNOWN,
                is_clients: true,
            },
            None => {
                let mut id = [b'0'; 32];
                write_hex(&mut id[..16], random());
                write_hex(&mut id[16..], random().max(1));
                Self {
                    id,
                    span,
                    flags: FLAGS_OF_OURS,
                    is_clients: false,
                }
            }
        }
    }

    /// Returns the id as logs have it.
    pub(crate) fn id(&self) -> &str {
        std::str::from_utf8(&self.id).unwrap_or_default()
    }

    /// Returns the value of `traceparent` for the next hop.
    pub(crate) fn parent(&self) -> [u8; BYTES] {
        let mut value = *b"00-00000000000000000000000000000000-0000000000000000-00";
        value[3..35].copy_from_slice(&self.id);
        write_hex(&mut value[36..52], self.span);
        write_hex(&mut value[53..], u64::from(self.flags));
        value
    }
}

/// Reads a `traceparent` strictly: lower-case digits only, no zero ids; of a later version what this one has at its beginning.
fn parent(value: &[u8]) -> Option<([u8; 32], u8)> {
    let later = value.len() > BYTES;
    let (head, behind) = value.split_at_checked(BYTES)?;
    let is_hex = |part: &[u8]| part.iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b));
    let (version, id, span, flags) = (&head[..2], &head[3..35], &head[36..52], &head[53..]);
    let dashes = [2, 35, 52].iter().all(|at| head[*at] == b'-');
    if !dashes || ![version, id, span, flags].into_iter().all(is_hex) {
        return None;
    }
    let grown = version != b"00" && behind.first() == Some(&b'-');
    if version == b"ff" || (later && !grown) {
        return None;
    }
    let zero = |part: &[u8]| part.iter().all(|digit| *digit == b'0');
    if zero(id) || zero(span) {
        return None;
    }
    let flags = u8::from_str_radix(std::str::from_utf8(flags).ok()?, 16).ok()?;
    Some((id.try_into().ok()?, flags))
}

/// Writes the last digits of a number, as many as there is room for.
pub(crate) fn write_hex(out: &mut [u8], mut value: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn of(lines: &[&str]) -> Trace {
        Trace::of(
            &|name, see| name == "traceparent" && lines.iter().any(|line| see(line.as_bytes())),
            || 0xabc,
        )
    }

    #[test]
    fn a_trace_is_passed_on_under_a_span_of_our_own() {
        for (line, flags) in [
            (format!("00-{ID}-00f067aa0ba902b7-01"), "01"),
            (format!("00-{ID}-00f067aa0ba902b7-00"), "00"),
            (format!("00-{ID}-00f067aa0ba902b7-ff"), "03"),
            (format!("cc-{ID}-00f067aa0ba902b7-01"), "01"),
            (format!("cc-{ID}-00f067aa0ba902b7-01-more"), "01"),
        ] {
            let trace = of(&[&line]);
            assert!(trace.is_clients);
            assert_eq!(trace.id(), ID);
            let wanted = format!("00-{ID}-0000000000000abc-{flags}");
            assert_eq!(std::str::from_utf8(&trace.parent()), Ok(wanted.as_str()), "{line}");
        }
    }

    #[test]
    fn what_is_no_context_begins_a_new_trace() {
        let good = format!("00-{ID}-00f067aa0ba902b7-01");
        for lines in [
            &[][..],
            &[""],
            &["00"],
            &[&good[..54]],
            &[&good.to_uppercase()],
            &[&format!("{good}-more")],
            &[&format!("{good} ")],
            &[&format!("cc{}x", &good[2..])],
            &[&good.replace("00-", "ff-")],
            &[&good.replace("00-", "0g-")],
            &[&good.replace('-', "_")],
            &[&good.replace(ID, &"0".repeat(32))],
            &[&good.replace("00f067aa0ba902b7", &"0".repeat(16))],
            &[&good.replace("-01", "-0x")],
            &[&good, &good],
        ] {
            let trace = of(lines);
            assert!(!trace.is_clients, "{lines:?}");
            assert_eq!(trace.id(), "0000000000000abc0000000000000abc");
            assert!(trace.parent().ends_with(b"-0000000000000abc-03"));
        }
    }
}
