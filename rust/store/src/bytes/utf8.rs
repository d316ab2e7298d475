//! UTF-8 across buffer ends. Only what holds a non-ASCII byte is looked at.

/// A sequence that the previous piece left open.
#[derive(Default)]
pub struct Utf8 {
    open: [u8; 4],
    len: usize,
    /// A byte of 0xC4 or above was seen: text outside Latin-1.
    pub wide: bool,
}

impl Utf8 {
    /// Says whether the piece before ended with a whole sequence.
    #[inline(always)]
    pub fn is_whole(&self) -> bool {
        self.len == 0
    }

    /// Checks `bytes`, which start at `offset` in the file; on a fault returns the offset of the
    /// first byte of the bad sequence. Best called with a few KiB, which the caller reads next.
    #[inline(always)] // to be compiled for the caller's vectors
    pub fn check(&mut self, bytes: &[u8], offset: u64) -> Result<(), u64> {
        let mut bits = 0;
        for byte in bytes {
            bits |= byte;
        }
        if self.len == 0 && bits < 0x80 {
            return Ok(());
        }
        self.check_piece(bytes, offset)
    }

    #[inline(never)]
    fn check_piece(&mut self, mut bytes: &[u8], mut offset: u64) -> Result<(), u64> {
        // Folded, not searched: that is what the compiler makes vectors of.
        self.wide = self.wide || bytes.iter().fold(0, |most, &byte| byte.max(most)) >= 0xC4;
        while self.len > 0 && !bytes.is_empty() {
            self.open[self.len] = bytes[0];
            self.len += 1;
            bytes = &bytes[1..];
            offset += 1;
            match std::str::from_utf8(&self.open[..self.len]) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(offset - self.len as u64),
            }
        }
        if self.len > 0 {
            return Ok(());
        }
        // Without the sequence that the end cuts, so that the fast check, which knows good from
        // bad but not where, need not be repeated for every piece.
        let (whole, rest) = bytes.split_at(bytes.len() - cut_bytes(bytes));
        if simdutf8::basic::from_utf8(whole).is_err() {
            if let Err(error) = simdutf8::compat::from_utf8(whole) {
                return Err(offset + error.valid_up_to() as u64);
            }
        }
        if let Err(error) = std::str::from_utf8(rest) {
            if error.error_len().is_some() {
                return Err(offset + whole.len() as u64);
            }
        }
        self.open[..rest.len()].copy_from_slice(rest);
        self.len = rest.len();
        Ok(())
    }
}

/// Returns how many bytes at the end may begin a sequence that goes on.
fn cut_bytes(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let byte = bytes[bytes.len() - back];
        if byte >= 0xC0 {
            let due = 2 + usize::from(byte >= 0xE0) + usize::from(byte >= 0xF0);
            return if due > back { back } else { 0 };
        }
        if byte < 0x80 {
            break;
        }
    }
    0
}
