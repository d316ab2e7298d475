//! Files as a pass sees them, and what others see of a running pass.

use crate::input::error::{Error, ErrorKind, Result};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A file that can be read at any position; the caller's position does not matter.
pub trait ReadAt: Sync {
    /// Reads some bytes at `offset`; 0 only at the end.
    ///
    /// # Errors
    ///
    /// Whatever the system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for [u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let from = usize::try_from(offset).map_or(self.len(), |at| at.min(self.len()));
        let count = buffer.len().min(self.len() - from);
        buffer[..count].copy_from_slice(&self[from..from + count]);
        Ok(count)
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.as_slice().read_at(buffer, offset)
    }
}

/// Progress and cancellation, shared between threads.
#[derive(Debug, Default)]
pub struct Control {
    done_bytes: AtomicU64,
    cancelled: AtomicBool,
}

impl Control {
    /// Asks running passes to stop at their next buffer.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Returns the bytes read by all passes so far.
    #[must_use]
    pub fn done_bytes(&self) -> u64 {
        self.done_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn advance(&self, bytes: usize) -> Result<()> {
        self.done_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.check()
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        Ok(())
    }
}

/// Reads until the buffer is full or the input ends.
pub(crate) fn read_full(input: &dyn ReadAt, buffer: &mut [u8], offset: u64) -> Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(filled)
}

/// Passes `[from, to)` of `input` to `each`, in pieces of at most `buffer`.
pub(crate) fn read_range(
    input: &dyn ReadAt,
    from: u64,
    to: u64,
    buffer: &mut [u8],
    mut each: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut at = from;
    while at < to {
        let want = usize::try_from(to - at).map_or(buffer.len(), |left| left.min(buffer.len()));
        let got = read_full(input, &mut buffer[..want], at)?;
        if got < want {
            return Err(Error::invalid(ErrorKind::Changed, at + got as u64));
        }
        each(&buffer[..got])?;
        at += got as u64;
    }
    Ok(())
}
