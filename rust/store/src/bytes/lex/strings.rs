//! The inside of strings: escapes, and bytes that may not stand there.

use super::Lexer;
use crate::input::error::ErrorKind;

/// May follow a backslash inside a string.
const ESCAPE: [bool; 256] = {
    let mut table = [false; 256];
    let good = *b"\"\\/bfnrtu";
    let mut at = 0;
    while at < good.len() {
        table[good[at] as usize] = true;
        at += 1;
    }
    table
};

impl Lexer {
    /// Returns a mask of the bytes that a backslash escapes. `backslashes` is masked to `len` bytes.
    #[inline(always)]
    pub(super) fn escaped_mask(&mut self, backslashes: u64, len: usize) -> u64 {
        if backslashes == 0 {
            return std::mem::take(&mut self.escaped);
        }
        let (escaped, carry) = find_escaped(backslashes, self.escaped);
        self.escaped = if len == 64 {
            carry
        } else {
            (escaped >> len) & 1
        };
        escaped
    }

    /// Finds the first offence inside strings of this block: its place (or `len`) and its kind.
    #[inline(always)]
    pub(super) fn string_fault(
        &mut self,
        block: &[u8; 64],
        len: usize,
        controls: u64,
        mut escaped: u64,
    ) -> (usize, Option<ErrorKind>) {
        let mut stop = len;
        let mut fault = None;
        if controls != 0 {
            stop = controls.trailing_zeros() as usize;
            fault = Some(ErrorKind::Control);
        }
        if (self.hex_due as u64 | escaped) == 0 {
            return (stop, fault);
        }
        let due = self.hex_due.min(len);
        self.hex_due -= due;
        if let Some(bad) = no_hex(block, 0, due, stop) {
            return (bad, Some(ErrorKind::Escape));
        }
        while escaped != 0 {
            let at = escaped.trailing_zeros() as usize;
            if at >= stop {
                break;
            }
            escaped &= escaped - 1;
            if !is_escape(block[at]) {
                return (at, Some(ErrorKind::Escape));
            }
            if block[at] == b'u' {
                let to = (at + 5).min(len);
                if let Some(bad) = no_hex(block, at + 1, to, stop) {
                    return (bad, Some(ErrorKind::Escape));
                }
                self.hex_due = at + 5 - to;
            }
        }
        (stop, fault)
    }
}

/// Finds the first byte of `from..to` that is no hex digit and lies before `stop`.
#[inline(always)]
fn no_hex(block: &[u8; 64], from: usize, to: usize, stop: usize) -> Option<usize> {
    (from..to.min(stop)).find(|at| !block[*at].is_ascii_hexdigit())
}

/// Finds the bytes that a backslash escapes, from whether the first one is; and whether the first
/// of the next block is.
#[inline(always)]
pub(super) fn find_escaped(backslashes: u64, first: u64) -> (u64, u64) {
    const EVEN: u64 = 0x5555_5555_5555_5555;
    let starts = backslashes & !first;
    let follows = (starts << 1) | first;
    let odd_starts = starts & !EVEN & !follows;
    let (runs, carry) = odd_starts.overflowing_add(starts);
    ((EVEN ^ (runs << 1)) & follows, u64::from(carry))
}

/// Says whether a byte may follow a backslash inside a string.
#[inline(always)]
pub(super) fn is_escape(byte: u8) -> bool {
    ESCAPE[usize::from(byte)]
}
