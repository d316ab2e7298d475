//! A pool of read buffers shared by reference count; a buffer returns when its last user drops it.

use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::Arc;

/// A filled buffer. It returns to its pool when its last user drops it.
#[derive(Debug)]
pub struct PooledBuffer {
    bytes: Vec<u8>,
    filled: usize,
    base: u64,
    is_ascii: bool,
    home: Sender<Vec<u8>>,
}

impl PooledBuffer {
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

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        self.home.send(std::mem::take(&mut self.bytes)).ok(); // nobody is there after the last
    }
}

/// Makes up to `most` buffers of `size` bytes, as late as can be, and takes them back.
pub(crate) struct BufferPool {
    size: usize,
    left: usize,
    home: Sender<Vec<u8>>,
    back: Receiver<Vec<u8>>,
}

impl BufferPool {
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

    /// Returns a buffer; waits for one if all are in use.
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

    /// Shares a buffer of which `filled` bytes hold the input from `base` on.
    pub(crate) fn share(
        &self,
        bytes: Vec<u8>,
        filled: usize,
        base: u64,
        is_ascii: bool,
    ) -> Arc<PooledBuffer> {
        Arc::new(PooledBuffer {
            bytes,
            filled,
            base,
            is_ascii,
            home: self.home.clone(),
        })
    }
}
