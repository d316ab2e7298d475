//! Strings and scalars as they stream by, and what they say.

use crate::bytes::lex::Chunk;
use crate::entry::escapes::{has_escape, unescape};
use crate::input::limits::CAPTURE_BYTES;

/// A string or scalar as it streams by. What lies in one piece of the input is looked at where it
/// lies; of what does not, the first bytes are kept.
#[derive(Default)]
pub(super) struct Capture {
    /// Its bytes in pieces before.
    pub(super) carried: Vec<u8>,
    /// Where the next piece begins; `None` when nothing is captured.
    pub(super) from: Option<u64>,
    cut: bool,
}

impl Capture {
    #[inline]
    pub(super) fn begin(&mut self, at: u64) {
        self.carried.clear();
        self.cut = false;
        self.from = Some(at);
    }

    /// Keeps what there is in a chunk that is used up, and returns that.
    pub(super) fn carry<'c>(&mut self, chunk: &Chunk<'c>) -> &'c [u8] {
        let end = chunk.end();
        let piece = self.from.map_or(&[][..], |from| chunk.slice(from, end));
        let room = CAPTURE_BYTES - self.carried.len();
        self.cut |= piece.len() > room;
        self.carried
            .extend_from_slice(&piece[..piece.len().min(room)]);
        self.from = Some(end);
        piece
    }

    /// Ends at `at`: returns all of it, `None` if it is too long.
    #[inline]
    pub(super) fn end<'a>(&'a mut self, at: u64, chunk: &Chunk<'a>) -> Option<&'a [u8]> {
        let from = self.from?;
        let up_to = Chunk::new(chunk.base, chunk.slice(chunk.base, at));
        if self.carried.is_empty() {
            self.from = None;
            let piece = up_to.slice(from, at);
            return (piece.len() <= CAPTURE_BYTES).then_some(piece);
        }
        self.carry(&up_to);
        self.from = None;
        (!self.cut).then_some(&self.carried)
    }
}

/// Returns a string without its quotes; `None` if it is none, or was not captured whole.
#[inline]
fn inside(captured: Option<&[u8]>) -> Option<&[u8]> {
    match captured {
        Some([b'"', inside @ .., b'"']) => Some(inside),
        _ => None,
    }
}

/// Returns what a captured string says; `None` if it was not captured whole, or is not Unicode.
pub(super) fn read_text(captured: Option<&[u8]>) -> Option<String> {
    let mut text = String::new();
    append_text(captured, &mut text).then_some(text)
}

/// Appends what it says, and says whether there was something to append.
#[inline]
pub(super) fn append_text(captured: Option<&[u8]>, into: &mut String) -> bool {
    let Some(inside) = inside(captured) else {
        return false;
    };
    let unescaped;
    let bytes = if has_escape(inside) {
        unescaped = unescape(inside);
        &unescaped
    } else {
        inside
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            into.push_str(text);
            true
        }
        Err(_) => false,
    }
}

#[inline(always)]
pub(super) fn read_millis(captured: Option<&[u8]>) -> Option<i64> {
    let bytes = captured?;
    // Nearly all are thirteen digits.
    if (1..=18).contains(&bytes.len()) {
        let value = bytes.iter().try_fold(0, |value, byte| {
            let digit = i64::from(byte.wrapping_sub(b'0'));
            (digit < 10).then_some(value * 10 + digit)
        });
        if value.is_some() {
            return value;
        }
    }
    let text = std::str::from_utf8(bytes).ok()?;
    text.parse::<i64>().ok().or_else(|| {
        let value = text.parse::<f64>().ok()?;
        // Exact below 2^53; anything else is no time.
        #[allow(clippy::cast_possible_truncation)]
        (value.abs() < 9.0e15).then_some(value as i64)
    })
}
