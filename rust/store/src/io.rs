//! What the passes read from, write to, and look at while they run.

use crate::error::{Error, Kind, Result};
use crate::lex::{Chunk, Lexer, Visitor};
use crate::limits::BUFFER_BYTES;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A file that can be read at any position; the caller's position does not matter.
pub trait ReadAt {
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
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        Ok(())
    }
}

/// What [`scan`] saw of the whole input.
#[derive(Debug, Clone)]
pub struct Scanned {
    /// Bytes read.
    pub bytes: u64,
    /// BLAKE3 of them in hex.
    pub digest: String,
    /// Text outside Latin-1 was seen.
    pub wide: bool,
}

/// Reads and validates a whole store, telling `visitor` what it meets.
///
/// # Errors
///
/// `Invalid` with the first offence, `Io`, `Cancelled`, or what the visitor says.
///
/// # Memory
///
/// O(1): one buffer of 256 KiB and the lexer.
pub fn scan<V: Visitor>(input: &dyn ReadAt, control: &Control, visitor: &mut V) -> Result<Scanned> {
    scan_with(Lexer::new(), BUFFER_BYTES, input, control, visitor)
}

/// [`scan`] with a given lexer and buffer size.
///
/// # Errors
///
/// As [`scan`].
pub fn scan_with<V: Visitor>(
    mut lexer: Lexer,
    buffer_bytes: usize,
    input: &dyn ReadAt,
    control: &Control,
    visitor: &mut V,
) -> Result<Scanned> {
    let mut buffer = vec![0u8; buffer_bytes];
    let mut digest = blake3::Hasher::new();
    let mut offset = 0u64;
    let mut start = [0u8; 3];
    let started = read_full(input, &mut start, 0)?;
    check_start(&start[..started])?;
    loop {
        let filled = read_full(input, &mut buffer, offset)?;
        let bytes = &buffer[..filled];
        if filled == 0 {
            break;
        }
        digest.update(bytes);
        lexer.feed(
            Chunk {
                base: offset,
                bytes,
            },
            visitor,
        )?;
        offset += filled as u64;
        control.advance(filled)?;
    }
    lexer.finish(offset)?;
    Ok(Scanned {
        bytes: offset,
        digest: digest.finalize().to_hex().to_string(),
        wide: lexer.is_wide(),
    })
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

fn check_start(bytes: &[u8]) -> Result<()> {
    match bytes {
        [] => Err(Error::invalid(Kind::Empty, 0)),
        [0xEF, 0xBB, 0xBF, ..] => Err(Error::invalid(Kind::Bom, 0)),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [b'{', 0, ..] | [0, b'{', ..] => {
            Err(Error::invalid(Kind::Utf16, 0))
        }
        _ => Ok(()),
    }
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
            return Err(Error::invalid(Kind::Changed, at + got as u64));
        }
        each(&buffer[..got])?;
        at += got as u64;
    }
    Ok(())
}
