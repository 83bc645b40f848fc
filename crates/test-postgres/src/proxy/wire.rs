//! The frames of PostgreSQL's protocol.

use std::io::{self, Read};

const ENCRYPTION: [u32; 2] = [80_877_103, 80_877_104];

/// Reads whole messages from a stream.
pub(super) struct Messages<R> {
    from: R,
    buffer: Vec<u8>,
    /// The first message of a client has no kind.
    greets: bool,
}

/// A message as it came, and what it says.
pub(super) struct Message {
    pub(super) bytes: Vec<u8>,
    /// 0 for the first one of a client.
    pub(super) kind: u8,
}

impl<R: Read> Messages<R> {
    pub(super) fn of_client(from: R) -> Self {
        Self { from, buffer: Vec::new(), greets: true }
    }

    pub(super) fn of_server(from: R) -> Self {
        Self { from, buffer: Vec::new(), greets: false }
    }

    /// The next message; `None` at the end of the stream.
    pub(super) fn next(&mut self) -> io::Result<Option<Message>> {
        let head = if self.greets { 4 } else { 5 };
        if !self.fill(head)? {
            return Ok(None);
        }
        let length = &self.buffer[head - 4..head];
        let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        let total = head - 4 + length;
        if !self.fill(total)? {
            return Ok(None);
        }
        let rest = self.buffer.split_off(total);
        let bytes = std::mem::replace(&mut self.buffer, rest);
        let kind = if self.greets { 0 } else { bytes[0] };
        let message = Message { bytes, kind };
        // The real greeting is still to come.
        self.greets = self.greets && message.asks_for_encryption();
        Ok(Some(message))
    }

    /// Whether a further message begins in what has been read already.
    pub(super) fn has_more(&self) -> bool {
        !self.buffer.is_empty()
    }

    fn fill(&mut self, length: usize) -> io::Result<bool> {
        let mut chunk = [0; 16 * 1024];
        while self.buffer.len() < length {
            match self.from.read(&mut chunk)? {
                0 => return Ok(false),
                read => self.buffer.extend(&chunk[..read]),
            }
        }
        Ok(true)
    }
}

impl Message {
    pub(super) fn asks_for_encryption(&self) -> bool {
        let asked = |code: &u32| self.bytes.get(4..8) == Some(code.to_be_bytes().as_slice());
        self.kind == 0 && ENCRYPTION.iter().any(asked)
    }

    /// Its texts, each of which ends with a zero: what comes after those is not text.
    pub(super) fn texts(&self) -> impl Iterator<Item = String> {
        let body = self.bytes.get(5..).unwrap_or_default();
        body.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned())
    }
}

/// Whether this text begins a transaction.
pub(super) fn begins(text: &str) -> bool {
    let first = text.trim_start().get(..5);
    first.is_some_and(|first| first.eq_ignore_ascii_case("BEGIN"))
}

/// Whether this text ends its transaction.
pub(super) fn commits(text: &str) -> bool {
    let last = text.trim().trim_end_matches(';').rsplit(';').next().unwrap_or_default();
    last.trim().eq_ignore_ascii_case("COMMIT")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_recognised_at_the_end_of_a_text() {
        for text in ["COMMIT", " commit ; ", "SELECT; COMMIT", "SELECT 1;COMMIT;"] {
            assert!(commits(text), "{text}");
        }
        for text in ["", "COMMIT; SELECT 1", "SELECT 'commit'", "COMMIT PREPARED 'a'"] {
            assert!(!commits(text), "{text}");
        }
    }

    #[test]
    fn messages_are_whole_however_they_come() {
        let greeting = [&8_u32.to_be_bytes()[..], &ENCRYPTION[0].to_be_bytes()].concat();
        let hello = [&9_u32.to_be_bytes()[..], b"hello"].concat();
        let query = [&b"Q"[..], &9_u32.to_be_bytes(), b"ab\0c\0"].concat();
        let stream = [greeting, hello.clone(), query].concat();
        for chunk in [1, 3, 1000] {
            let mut slow = Vec::new();
            for part in stream.chunks(chunk) {
                slow.push(part);
            }
            let reader: Box<dyn Read> = slow
                .into_iter()
                .fold(Box::new(io::empty()), |reader, part| Box::new(reader.chain(part)));
            let mut messages = Messages::of_client(reader);
            assert!(messages.next().unwrap().unwrap().asks_for_encryption());
            assert_eq!(messages.next().unwrap().unwrap().bytes, hello);
            let query = messages.next().unwrap().unwrap();
            assert_eq!(query.kind, b'Q');
            assert_eq!(query.texts().collect::<Vec<_>>(), ["ab", "c", ""]);
            assert!(messages.next().unwrap().is_none());
        }
    }
}
