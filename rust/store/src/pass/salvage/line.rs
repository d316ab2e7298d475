//! One line of a damaged store.

/// A line as far as it was read; the bytes themselves are looked at again where they matter.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Line {
    pub(super) start: u64,
    /// Bytes of indentation.
    pub(super) lead: u64,
    /// The first byte after it; 0 before it is known, and at the end of the file.
    pub(super) first: u8,
    pub(super) is_headed: bool,
    /// After its last byte, without the line break.
    pub(super) end: u64,
    /// Its last bytes.
    pub(super) tail: [u8; 5],
    /// An entry that was taken ends on it.
    pub(super) ends_proven: bool,
}

impl Line {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(self.tail.len());
        self.tail.rotate_left(kept);
        let from = self.tail.len() - kept;
        self.tail[from..].copy_from_slice(&bytes[bytes.len() - kept..]);
    }

    /// Returns the line's last bytes, without a carriage return.
    pub(super) fn ending(&self) -> &[u8] {
        let all: &[u8] = &self.tail;
        all.strip_suffix(b"\r").unwrap_or(all)
    }

    /// Returns the offset after the line's last byte, without a carriage return.
    pub(super) fn text_end(&self) -> u64 {
        self.end - u64::from(self.tail.ends_with(b"\r") && self.end > self.start)
    }

    pub(super) fn has_comma(&self) -> bool {
        self.ending().ends_with(b",")
    }

    /// Says how many bytes at its end are what a name and an opening bracket leave: `": {`.
    pub(super) fn opening(&self) -> Option<u64> {
        [&b"\": {"[..], b"\": [", b"\":{", b"\":["]
            .into_iter()
            .find(|text| self.ending().ends_with(text))
            .map(|text| text.len() as u64)
    }

    pub(super) fn closes(&self) -> bool {
        matches!(self.first, b'}' | b']')
    }

    /// Says whether nothing is on the line, or the file has ended.
    pub(super) fn is_blank(&self) -> bool {
        matches!(self.first, 0 | b'\r' | b'\n')
    }

    /// Returns the offset after the bracket that the line begins with.
    pub(super) fn after_bracket(&self) -> u64 {
        self.start + self.lead + 1
    }
}
