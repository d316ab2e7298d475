//! Fingerprints of keys: equal keys of one seed have equal numbers.

use crate::entry::escapes::{has_escape, Unescape};
use std::hash::Hasher;
use twox_hash::XxHash3_64;

/// Fingerprints a key as it streams by, however long.
pub struct Fingerprint {
    seed: u64,
    hash: XxHash3_64,
    unescape: Unescape,
}

impl Fingerprint {
    /// Starts one; equal keys of equal `seed` give equal numbers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            hash: XxHash3_64::with_seed(seed),
            unescape: Unescape::default(),
        }
    }

    /// Feeds raw bytes of the key, without its quotes.
    pub fn feed(&mut self, raw: &[u8]) {
        let hash = &mut self.hash;
        self.unescape.feed(raw, |bytes| hash.write(bytes));
    }

    /// Returns the number of a whole key.
    pub(crate) fn of(&mut self, raw: &[u8]) -> u64 {
        if !has_escape(raw) {
            return fingerprint(self.seed, raw);
        }
        self.feed(raw);
        self.take()
    }

    /// Returns the number and starts over.
    pub fn take(&mut self) -> u64 {
        let hash = &mut self.hash;
        self.unescape.finish(|bytes| hash.write(bytes));
        let value = self.hash.finish();
        *self = Self::new(self.seed);
        value
    }
}

/// Returns the fingerprint of text that needs no unescaping.
#[must_use]
pub fn fingerprint(seed: u64, text: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(seed, text)
}
