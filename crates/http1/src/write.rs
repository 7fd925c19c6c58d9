//! Writes heads. What it is given cannot end a line, whatever it is.

use memchr::memchr3;

use crate::fields::FieldRef;

/// Writes one head at the end of a vector.
#[derive(Debug)]
pub struct HeadWriter<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> HeadWriter<'a> {
    /// Begins the head of a request in HTTP/1.1.
    pub fn request(out: &'a mut Vec<u8>, method: &str, target: &str) -> Self {
        let mut head = Self { out };
        head.text(method.as_bytes());
        head.out.push(b' ');
        head.text(target.as_bytes());
        head.out.extend_from_slice(b" HTTP/1.1\r\n");
        head
    }

    /// Begins the head of a response in HTTP/1.1. A status has three digits, from 100 to 999.
    pub fn response(out: &'a mut Vec<u8>, status: u16, reason: &[u8]) -> Self {
        let mut head = Self { out };
        head.out.extend_from_slice(b"HTTP/1.1 ");
        head.digits(u64::from(status.clamp(100, 999)));
        head.out.push(b' ');
        head.text(reason);
        head.out.extend_from_slice(b"\r\n");
        head
    }

    /// Begins a section of fields without a first line, such as that of trailer fields.
    pub fn section(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Writes a field.
    pub fn field(&mut self, name: &str, value: &[u8]) -> &mut Self {
        let begin = self.out.len();
        self.out.reserve(name.len() + value.len() + 4);
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        self.out.extend_from_slice(value);
        self.clean(begin);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Writes a field whose value is a number.
    pub fn number(&mut self, name: &str, value: u64) -> &mut Self {
        self.text(name.as_bytes());
        self.out.extend_from_slice(b": ");
        self.digits(value);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Writes a field that was read before.
    pub fn copy(&mut self, field: FieldRef<'_>) -> &mut Self {
        // Read strictly, so that there is nothing in it to be taken out.
        self.out.reserve(field.name.len() + field.value.len() + 4);
        self.out.extend_from_slice(field.name);
        self.out.extend_from_slice(b": ");
        self.out.extend_from_slice(field.value);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Writes a field that was read before, its name in lower case, as HTTP/2 has names.
    pub fn copy_lower(&mut self, field: FieldRef<'_>) -> &mut Self {
        let begin = self.out.len();
        self.copy(field);
        self.out[begin..begin + field.name.len()].make_ascii_lowercase();
        self
    }

    /// Ends the head.
    pub fn end(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }

    fn text(&mut self, text: &[u8]) {
        let begin = self.out.len();
        self.out.extend_from_slice(text);
        self.clean(begin);
    }

    /// Takes out of what was written since `begin` what could end its line; one look at it in the usual case that there is nothing.
    fn clean(&mut self, begin: usize) {
        if memchr3(b'\r', b'\n', 0, &self.out[begin..]).is_some() {
            let kept = self.out.split_off(begin);
            let harmless = kept.into_iter().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0));
            self.out.extend(harmless);
        }
    }

    fn digits(&mut self, mut number: u64) {
        let mut digits = [0; 20];
        let mut begin = digits.len();
        loop {
            begin -= 1;
            digits[begin] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.out.extend_from_slice(&digits[begin..]);
    }
}
