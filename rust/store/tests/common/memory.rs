//! A file in memory that one thread writes while another reads it.

use std::io::{self, Write};
use std::sync::{Arc, RwLock};
use tailflip_store::input::io::ReadAt;

/// Clones are the same file; the write position is its end.
#[derive(Clone, Default)]
pub struct Memory(pub Arc<RwLock<Vec<u8>>>);

impl Memory {
    /// Returns all that was written.
    #[allow(dead_code)] // not every test looks
    pub fn bytes(&self) -> Vec<u8> {
        self.0.read().unwrap().clone()
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ReadAt for Memory {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read().unwrap().read_at(buffer, offset)
    }
}
