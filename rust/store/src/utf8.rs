//! UTF-8 across buffer ends. Only buffers with a non-ASCII byte are looked at.

/// A sequence that the previous buffer left open.
#[derive(Default)]
pub struct Utf8 {
    open: [u8; 4],
    len: usize,
    /// A byte of 0xC4 or above was seen: text outside Latin-1.
    pub wide: bool,
}

impl Utf8 {
    /// Checks `bytes`, which start at `offset` in the file; on a fault returns the offset of the
    /// first byte of the bad sequence.
    pub fn check(&mut self, mut bytes: &[u8], mut offset: u64) -> Result<(), u64> {
        if self.len == 0 && bytes.is_ascii() {
            return Ok(());
        }
        self.wide = self.wide || bytes.iter().any(|&byte| byte >= 0xC4);
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
        if simdutf8::basic::from_utf8(bytes).is_ok() {
            return Ok(());
        }
        // The fast check carries no position; the other one finds it.
        if let Err(error) = simdutf8::compat::from_utf8(bytes) {
            let valid = error.valid_up_to();
            if error.error_len().is_some() {
                return Err(offset + valid as u64);
            }
            let rest = &bytes[valid..];
            self.open[..rest.len()].copy_from_slice(rest);
            self.len = rest.len();
        }
        Ok(())
    }
}
