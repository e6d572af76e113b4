//! Standard input as lines of text.
//!
//! `\n` and `\r\n` end a line and are not part of it. Bytes that are not UTF-8 are written `\x` and
//! two lower-case hexadecimal digits. So that this can be undone, the backslash of a text that reads
//! as such an escape itself (`\x` and the digits of a byte above 7f) is written `\x5c`, as is that of
//! `\x5c`. Every other backslash stays as it is.

use std::io::{self, BufRead};

/// Reads lines and bounds their length.
pub(super) struct Lines<R> {
    input: R,
    /// The bytes of the line as they were read.
    raw: Vec<u8>,
    line: String,
    bytes_max: usize,
    /// Lines that were longer.
    pub(super) cut: u64,
    /// Lines with bytes that are not UTF-8.
    pub(super) escaped: u64,
}

/// Room for the marker of a cut, as a log call writes it: `…[1234 bytes cut]`.
const MARKER_BYTES_MAX: usize = "…[18446744073709551615 bytes cut]".len();

impl<R: BufRead> Lines<R> {
    /// Lines of at most `bytes_max` bytes, after escaping. Of a longer one the end is left out, and
    /// `…[1234 bytes cut]` stands in its place.
    pub(super) fn new(input: R, bytes_max: usize) -> Lines<R> {
        Lines { input, raw: Vec::new(), line: String::new(), bytes_max, cut: 0, escaped: 0 }
    }

    /// The next line; `None` at the end of the input.
    pub(super) fn next(&mut self) -> io::Result<Option<&str>> {
        let Some(lost_bytes) = self.read_raw()? else { return Ok(None) };
        self.line.clear();
        push_escaped(&self.raw, &mut self.line);
        if lost_bytes > 0 || self.line.len() > self.bytes_max {
            self.cut += 1;
            let room = self.bytes_max.saturating_sub(MARKER_BYTES_MAX);
            let kept = self.line.floor_char_boundary(room);
            let cut_bytes = (self.line.len() - kept) as u64 + lost_bytes;
            self.line.truncate(kept);
            self.line.push_str(&format!("…[{cut_bytes} bytes cut]"));
        } else {
            self.escaped += u64::from(std::str::from_utf8(&self.raw).is_err());
        }
        Ok(Some(&self.line))
    }

    /// Reads one line into `raw` without its end. Tells how many bytes were not kept.
    fn read_raw(&mut self) -> io::Result<Option<u64>> {
        self.raw.clear();
        // One byte more than fits shows that a line is too long; one more may be a `\r`.
        let keep = self.bytes_max + 2;
        let (mut any, mut lost_bytes) = (false, 0);
        loop {
            let buffer = match self.input.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if buffer.is_empty() {
                return Ok(any.then_some(lost_bytes));
            }
            any = true;
            let end = find_newline(buffer);
            let part = &buffer[..end.unwrap_or(buffer.len())];
            let room = keep - self.raw.len();
            let kept = &part[..part.len().min(room)];
            lost_bytes += (part.len() - kept.len()) as u64;
            self.raw.extend_from_slice(kept);
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            if end.is_some() {
                if lost_bytes == 0 && self.raw.last() == Some(&b'\r') {
                    self.raw.pop();
                }
                return Ok(Some(lost_bytes));
            }
        }
    }
}

fn find_newline(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

/// Appends bytes as text, see the head of this module.
fn push_escaped(bytes: &[u8], out: &mut String) {
    for chunk in bytes.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(at) = rest.find("\\x") {
            let (plain, tail) = rest.split_at(at);
            out.push_str(plain);
            out.push_str(if reads_as_escape(tail) { "\\x5c" } else { "\\" });
            rest = &tail[1..];
        }
        out.push_str(rest);
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
}

/// Whether a text begins with what [`push_escaped`] might have written.
fn reads_as_escape(text: &str) -> bool {
    match text.as_bytes() {
        [b'\\', b'x', b'5', b'c', ..] => true,
        [b'\\', b'x', b'8' | b'9' | b'a'..=b'f', low, ..] => {
            matches!(low, b'0'..=b'9' | b'a'..=b'f')
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(input: &[u8]) -> Vec<String> {
        let mut lines = Lines::new(input, 1000);
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push(line.to_owned());
        }
        all
    }

    /// The inverse, as `docs/operations.md` tells it.
    fn unescape(line: &str) -> Vec<u8> {
        let (mut out, mut rest) = (Vec::new(), line.as_bytes());
        while let [first, tail @ ..] = rest {
            let escape = std::str::from_utf8(&rest[..rest.len().min(4)]).ok();
            match escape.filter(|escape| escape.len() == 4 && reads_as_escape(escape)) {
                Some(escape) => {
                    out.push(u8::from_str_radix(&escape[2..], 16).unwrap());
                    rest = &rest[4..];
                }
                None => {
                    out.push(*first);
                    rest = tail;
                }
            }
        }
        out
    }

    #[test]
    fn either_line_end_is_left_out_and_empty_lines_and_a_last_line_without_end_are_kept() {
        assert_eq!(lines(b"a\n\r\n\nb\r\nc\rd"), ["a", "", "", "b", "c\rd"]);
        assert_eq!(lines(b"a\n"), ["a"]);
        assert_eq!(lines(b""), [""; 0]);
        assert_eq!(lines(b"a\r"), ["a\r"]);
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_shown() {
        assert_eq!(lines(b"caf\xe9 na\xc3\xafve"), [r"caf\xe9 naïve"]);
        assert_eq!(lines(br"C:\x\xe9 \x41 \x5c"), [r"C:\x\x5cxe9 \x41 \x5cx5c"]);
    }

    #[test]
    fn a_line_at_the_limit_survives_and_a_longer_one_is_cut_and_counted() {
        for (bytes, end) in [(999, ""), (1000, ""), (1000, "\n"), (1000, "\r\n")] {
            let input = "x".repeat(bytes) + end;
            let mut lines = Lines::new(input.as_bytes(), 1000);
            assert_eq!(lines.next().unwrap().unwrap(), "x".repeat(bytes));
            assert_eq!(lines.cut, 0);
        }
        for bytes in [1001, 1002, 1003, 5000] {
            let input = "x".repeat(bytes) + "\nnext";
            let mut lines = Lines::new(input.as_bytes(), 1000);
            let cut = lines.next().unwrap().unwrap();
            let (kept, marker) = cut.split_once('…').unwrap();
            assert_eq!(marker, format!("[{} bytes cut]", bytes - kept.len()));
            assert!(cut.len() <= 1000 && kept.len() > 900 && kept.bytes().all(|byte| byte == b'x'));
            assert_eq!(lines.next().unwrap(), Some("next"));
            assert_eq!(lines.cut, 1);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_of_a_line_come_back(bytes in prop::collection::vec(
            prop_oneof![any::<u8>(), prop::sample::select(&b"\\x5c8f"[..])], 0..40,
        )) {
            prop_assume!(!bytes.contains(&b'\n') && bytes.last() != Some(&b'\r'));
            let all = lines(&bytes);
            prop_assert_eq!(unescape(all.first().map_or("", |line| line)), bytes);
        }
    }
}
