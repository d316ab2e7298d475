//! What the passes read from, write to, and look at while they run.

use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::lend::{Lent, Pool};
use crate::lex::{Chunk, Lexer, Visitor};
use crate::limits::{AHEAD_BUFFERS, BUFFER_BYTES, INLINE_BYTES, LENT_BUFFERS};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{mpsc, Arc};
use std::thread;
use xxhash_rust::xxh3::Xxh3;

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

/// What [`scan`] saw of the whole input.
#[derive(Debug, Clone)]
pub struct Scanned {
    /// Bytes read.
    pub bytes: u64,
    /// XXH3-128 of them in hex.
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
/// O(1): four buffers of 256 KiB and the lexer.
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
    let mut digest = Xxh3::new();
    let bytes = feed_all(&mut lexer, buffer_bytes, input, control, visitor, |bytes| {
        Digest::update(&mut digest, bytes);
    })?;
    Ok(Scanned {
        bytes,
        digest: digest.to_hex(),
        wide: lexer.is_wide(),
    })
}

/// [`scan`] without a digest.
///
/// # Errors
///
/// As [`scan`].
pub fn check<V: Visitor>(
    mut lexer: Lexer,
    input: &dyn ReadAt,
    control: &Control,
    visitor: &mut V,
) -> Result<u64> {
    feed_all(&mut lexer, BUFFER_BYTES, input, control, visitor, |_| {})
}

/// Feeds the whole input to `lexer`, and each piece to `each` first; returns its size.
///
/// From the second MiB on, a thread of its own reads and calls `each`, so that a store is read and
/// digested while the piece before is scanned. Small stores do without.
fn feed_all<V: Visitor>(
    lexer: &mut Lexer,
    buffer_bytes: usize,
    input: &dyn ReadAt,
    control: &Control,
    visitor: &mut V,
    mut each: impl FnMut(&[u8]) + Send,
) -> Result<u64> {
    let mut start = [0u8; 3];
    let started = read_full(input, &mut start, 0)?;
    check_start(&start[..started])?;
    let mut take = |chunk: Chunk<'_>| -> Result<()> {
        lexer.feed(chunk, visitor)?;
        control.advance(chunk.bytes.len())
    };
    let mut buffer = vec![0u8; buffer_bytes];
    let mut read = 0u64;
    let mut may_spawn = true;
    loop {
        if may_spawn && read >= INLINE_BYTES {
            if let Some(end) = feed_ahead(input, read, buffer_bytes, &mut each, &mut take)? {
                read = end;
                break;
            }
            may_spawn = false;
        }
        let filled = read_full(input, &mut buffer, read)?;
        if filled == 0 {
            break;
        }
        each(&buffer[..filled]);
        take(Chunk::new(read, &buffer[..filled]))?;
        read += filled as u64;
    }
    lexer.finish(read)?;
    Ok(read)
}

/// Feeds the input from `at` on, read ahead by a thread; returns where it ends, `None` if no thread
/// is to be had.
fn feed_ahead(
    input: &dyn ReadAt,
    mut at: u64,
    buffer_bytes: usize,
    each: &mut (impl FnMut(&[u8]) + Send),
    take: &mut impl FnMut(Chunk<'_>) -> Result<()>,
) -> Result<Option<u64>> {
    thread::scope(|scope| {
        // Whoever holds on to buffers lets go of them in time, so the pool is never empty for ever.
        // When the scan ends early it drops its end of the channel, which ends the thread.
        let (full_out, full_in) = mpsc::sync_channel::<Result<Arc<Lent>>>(AHEAD_BUFFERS);
        let ahead = move || {
            let mut pool = Pool::new(buffer_bytes, LENT_BUFFERS);
            loop {
                let mut buffer = pool.take();
                let filled = read_full(input, &mut buffer, at);
                let is_last = !matches!(filled, Ok(1..));
                if let Ok(filled) = filled {
                    each(&buffer[..filled]);
                }
                let lent = filled.map(|filled| pool.lend(buffer, filled, at));
                at = lent.as_ref().map_or(at, |lent| lent.end());
                if full_out.send(lent).is_err() || is_last {
                    return;
                }
            }
        };
        let name = "tailflip-ahead".to_owned();
        if thread::Builder::new()
            .name(name)
            .spawn_scoped(scope, ahead)
            .is_err()
        {
            return Ok(None);
        }
        let mut end = at;
        for lent in full_in {
            let lent = lent?;
            end = lent.end();
            take(Chunk::of(&lent))?;
        }
        Ok(Some(end))
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
