//! The scratch file, and the sorted parts in it.

use crate::input::io::ReadAt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// A file without a name, for what does not fit into memory.
pub trait Scratch: ReadAt + Send {
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    ///
    /// Whatever the system says.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
}

/// A scratch file that several tables share; each part of theirs has its own range.
pub struct Spill {
    pub(super) file: Box<dyn Scratch>,
    end: Mutex<u64>,
}

impl std::fmt::Debug for Spill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spill").finish_non_exhaustive()
    }
}

impl Spill {
    /// Takes an empty file.
    #[must_use]
    pub fn new(file: Box<dyn Scratch>) -> Arc<Self> {
        let end = Mutex::new(0);
        Arc::new(Self { file, end })
    }

    pub(super) fn reserve(&self, bytes: u64) -> u64 {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let start = *end;
        *end += bytes;
        start
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) start: u64,
    pub(super) records: u64,
    pub(super) level: u32,
}
