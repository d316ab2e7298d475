//! Buffers that go round: filled by one thread, looked at by others, and back once all are done.

use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::Arc;

/// A piece of the input on loan; it goes back when the last who holds it lets go.
#[derive(Debug)]
pub struct Lent {
    bytes: Vec<u8>,
    filled: usize,
    base: u64,
    is_ascii: bool,
    home: Sender<Vec<u8>>,
}

impl Lent {
    /// Returns what was read into it.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }

    /// Says whether all of it is known to be ASCII.
    pub(crate) fn is_ascii(&self) -> bool {
        self.is_ascii
    }

    /// Returns the offset of its first byte in the file.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Returns the offset after its last byte.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.filled as u64
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.send(std::mem::take(&mut self.bytes)).ok(); // nobody is there after the last
    }
}

/// Makes up to `most` buffers of `size` bytes, as late as can be, and takes them back.
pub(crate) struct Pool {
    size: usize,
    left: usize,
    home: Sender<Vec<u8>>,
    back: Receiver<Vec<u8>>,
}

impl Pool {
    pub(crate) fn new(size: usize, most: usize) -> Self {
        let (home, back) = channel();
        Self {
            size,
            left: most,
            home,
            back,
        }
    }

    /// Makes so many more buffers now, and none later. What another thread takes from the
    /// allocator would stay with that thread's share of it when the thread is gone.
    pub(crate) fn make(&mut self, count: usize) {
        for _ in 0..count.min(self.left) {
            self.home.send(vec![0; self.size]).ok(); // never fails: `back` is ours
        }
        self.left = 0;
    }

    /// Returns a buffer; waits for one if all are lent.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        if let Ok(buffer) = self.back.try_recv() {
            return buffer;
        }
        if self.left > 0 {
            self.left -= 1;
            return vec![0; self.size];
        }
        self.back.recv().unwrap_or_default() // never fails: `home` is ours
    }

    /// Lends a buffer of which `filled` bytes hold the input from `base` on.
    pub(crate) fn lend(
        &self,
        bytes: Vec<u8>,
        filled: usize,
        base: u64,
        is_ascii: bool,
    ) -> Arc<Lent> {
        Arc::new(Lent {
            bytes,
            filled,
            base,
            is_ascii,
            home: self.home.clone(),
        })
    }
}
