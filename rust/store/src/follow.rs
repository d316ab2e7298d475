//! Reads a file while it is written: what is there already is checked beside the writing.

use crate::io::ReadAt;
use std::io::{self, Read, Write};
use std::sync::{Condvar, Mutex, PoisonError};

/// How far a file is written, told by one thread to another.
#[derive(Default)]
pub(crate) struct Written {
    /// Bytes, and whether more will come.
    state: Mutex<(u64, bool)>,
    changed: Condvar,
}

impl Written {
    fn tell(&self, more_bytes: usize, is_end: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += more_bytes as u64;
        state.1 |= is_end;
        self.changed.notify_all();
    }

    /// Waits until there is more than `at` bytes, or all; returns how many there are.
    fn wait(&self, at: u64) -> u64 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.0 <= at && !state.1 {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.0
    }
}

/// A writer that tells how far it is; dropping it is the end.
pub(crate) struct Telling<'a, W> {
    pub inner: W,
    pub written: &'a Written,
}

impl<W: Write> Write for Telling<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.written.tell(count, false);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<W> Drop for Telling<'_, W> {
    fn drop(&mut self) {
        self.written.tell(0, true);
    }
}

/// Reads what was written, and waits for what will be.
pub(crate) struct Follow<'a> {
    pub file: &'a dyn ReadAt,
    pub written: &'a Written,
    pub at: u64,
}

impl Read for Follow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let there = self.written.wait(self.at) - self.at;
        let most = usize::try_from(there).map_or(buffer.len(), |there| there.min(buffer.len()));
        let count = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}
