//! Digests of what is read and written.
//!
//! Two kinds, for two questions. Is this what was written, or did memory or disk go wrong? XXH3-128
//! answers that for stores, which are digested on every pass. Did somebody change it since? That is
//! asked of archives, which lie around for a month: BLAKE3.

use std::io::{Read, Write};
use twox_hash::XxHash3_128;

/// A digest of bytes that stream by.
pub(crate) trait Digest: Default {
    fn update(&mut self, bytes: &[u8]);
    fn to_hex(&self) -> String;
}

impl Digest for XxHash3_128 {
    fn update(&mut self, bytes: &[u8]) {
        self.write(bytes);
    }

    fn to_hex(&self) -> String {
        format!("{:032x}", self.finish_128())
    }
}

impl Digest for blake3::Hasher {
    fn update(&mut self, bytes: &[u8]) {
        blake3::Hasher::update(self, bytes);
    }

    fn to_hex(&self) -> String {
        self.finalize().to_hex().to_string()
    }
}

/// Counts and digests what passes to or from `inner`.
pub(crate) struct Digesting<T, D> {
    inner: T,
    digest: D,
    bytes: u64,
}

impl<T, D: Digest> Digesting<T, D> {
    pub(crate) fn new(inner: T) -> Self {
        Self {
            inner,
            digest: D::default(),
            bytes: 0,
        }
    }

    /// Returns how many bytes passed, and their digest in hex.
    pub(crate) fn finish(&self) -> (u64, String) {
        (self.bytes, self.digest.to_hex())
    }
}

impl<W: Write, D: Digest> Write for Digesting<W, D> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.digest.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read, D: Digest> Read for Digesting<R, D> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.digest.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}
