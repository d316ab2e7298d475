//! Feeds a whole input to the lexer, read ahead by a thread once it is large.

use crate::bytes::lex::{Chunk, Lexer, Visitor};
use crate::input::buffer_pool::{BufferPool, PooledBuffer};
use crate::input::digest::Digest;
use crate::input::error::{Error, ErrorKind, Result};
use crate::input::io::{read_full, Control, ReadAt};
use crate::input::limits::{AHEAD_BUFFERS, BUFFER_BYTES, INLINE_BYTES, POOL_BUFFERS};
use std::sync::{mpsc, Arc};
use std::thread;
use twox_hash::XxHash3_128;

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
/// O(1): four buffers of 256 KiB and the lexer; eight at most if the visitor holds on to some.
pub fn scan<V: Visitor>(input: &dyn ReadAt, control: &Control, visitor: &mut V) -> Result<Scanned> {
    scan_with(Lexer::new(), BUFFER_BYTES, input, control, visitor)
}

/// Runs [`scan`] with a given lexer and buffer size.
///
/// # Errors
///
/// As [`scan`].
pub fn scan_with<V: Visitor>(
    lexer: Lexer,
    buffer_bytes: usize,
    input: &dyn ReadAt,
    control: &Control,
    visitor: &mut V,
) -> Result<Scanned> {
    digest(lexer, buffer_bytes, Reading::Ahead, input, control, visitor)
}

/// Runs [`scan`] on one thread, for a visitor that keeps others busy, over bytes that were validated
/// before. The caller compares the digest, and forgets all if the bytes are others now.
pub(crate) fn scan_again<V: Visitor>(
    input: &dyn ReadAt,
    control: &Control,
    visitor: &mut V,
) -> Result<Scanned> {
    let lexer = Lexer::new().of_validated();
    digest(
        lexer,
        BUFFER_BYTES,
        Reading::InTurn,
        input,
        control,
        visitor,
    )
}

/// Runs [`scan`] without a digest.
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
    let mut pieces = Pieces::new(input, BUFFER_BYTES, |_: &[u8]| {});
    feed_all(&mut lexer, Reading::Ahead, &mut pieces, control, visitor)
}

/// Shows a whole input to `take`, piece by piece, until that says no; returns the bytes shown, and
/// the XXH3-128 of what was read in hex.
///
/// # Errors
///
/// `Io`, `Cancelled`, or what `take` says.
///
/// # Memory
///
/// As [`scan`].
pub(crate) fn each_piece(
    input: &dyn ReadAt,
    control: &Control,
    mut take: impl FnMut(&Chunk<'_>) -> Result<bool>,
) -> Result<(u64, String)> {
    let mut digest = XxHash3_128::new();
    let mut pieces = Pieces::new(input, BUFFER_BYTES, |bytes: &[u8]| {
        Digest::update(&mut digest, bytes);
    });
    let mut shown = 0;
    show_all(Reading::Ahead, &mut pieces, &mut |buffer| {
        let chunk = Chunk::of(buffer);
        shown = chunk.end();
        control.advance(chunk.bytes.len())?;
        take(&chunk)
    })?;
    Ok((shown, digest.to_hex()))
}

fn digest<V: Visitor>(
    mut lexer: Lexer,
    buffer_bytes: usize,
    reading: Reading,
    input: &dyn ReadAt,
    control: &Control,
    visitor: &mut V,
) -> Result<Scanned> {
    let mut digest = XxHash3_128::new();
    let mut pieces = Pieces::new(input, buffer_bytes, |bytes: &[u8]| {
        Digest::update(&mut digest, bytes);
    });
    let bytes = feed_all(&mut lexer, reading, &mut pieces, control, visitor)?;
    Ok(Scanned {
        bytes,
        digest: digest.to_hex(),
        wide: lexer.is_wide(),
    })
}

/// Who reads and digests: the thread that scans, or one that does so for the piece after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// From the second MiB on; small stores do without.
    Ahead,
    InTurn,
}

/// The input, piece by piece; each is shown to `each` first.
struct Pieces<'a, F> {
    input: &'a dyn ReadAt,
    pool: BufferPool,
    at: u64,
    /// Whether it is looked at for being ASCII, which spares the scan a look if it is.
    looks: bool,
    each: F,
}

impl<'a, F: FnMut(&[u8])> Pieces<'a, F> {
    fn new(input: &'a dyn ReadAt, buffer_bytes: usize, each: F) -> Self {
        Self {
            input,
            // Whoever holds on to buffers lets go of them in time: it is never empty for ever.
            pool: BufferPool::new(buffer_bytes, POOL_BUFFERS),
            at: 0,
            looks: false,
            each,
        }
    }

    /// Reads the next piece; `None` at the end.
    fn next(&mut self) -> Result<Option<Arc<PooledBuffer>>> {
        let mut buffer = self.pool.take();
        let filled = read_full(self.input, &mut buffer, self.at)?;
        if filled == 0 {
            return Ok(None);
        }
        (self.each)(&buffer[..filled]);
        let is_ascii = self.looks && buffer[..filled].is_ascii();
        let buffer = self.pool.share(buffer, filled, self.at, is_ascii);
        self.at = buffer.end();
        Ok(Some(buffer))
    }
}

/// Feeds the whole input to `lexer`; returns its size.
fn feed_all<V: Visitor, F: FnMut(&[u8]) + Send>(
    lexer: &mut Lexer,
    reading: Reading,
    pieces: &mut Pieces<'_, F>,
    control: &Control,
    visitor: &mut V,
) -> Result<u64> {
    let mut start = [0u8; 3];
    let started = read_full(pieces.input, &mut start, 0)?;
    check_start(&start[..started])?;
    show_all(reading, pieces, &mut |buffer| {
        let chunk = Chunk::of(buffer);
        lexer.feed(&chunk, visitor)?;
        control.advance(chunk.bytes.len())?;
        Ok(true)
    })?;
    lexer.finish(pieces.at)?;
    Ok(pieces.at)
}

/// Shows the whole input to `take`, until that says no.
fn show_all<F: FnMut(&[u8]) + Send>(
    reading: Reading,
    pieces: &mut Pieces<'_, F>,
    take: &mut impl FnMut(&Arc<PooledBuffer>) -> Result<bool>,
) -> Result<()> {
    let mut may_spawn = reading == Reading::Ahead;
    loop {
        if may_spawn && pieces.at >= INLINE_BYTES {
            if show_ahead(pieces, take)? {
                return Ok(());
            }
            may_spawn = false;
        }
        let Some(buffer) = pieces.next()? else {
            return Ok(());
        };
        if !take(&buffer)? {
            return Ok(());
        }
    }
}

/// Shows what is left, read ahead by a thread; false if no thread is to be had.
fn show_ahead<F: FnMut(&[u8]) + Send>(
    pieces: &mut Pieces<'_, F>,
    take: &mut impl FnMut(&Arc<PooledBuffer>) -> Result<bool>,
) -> Result<bool> {
    thread::scope(|scope| {
        // When the scan ends early it drops its end of the channel, which ends the thread.
        let (full_out, full_in) = mpsc::sync_channel::<Result<Arc<PooledBuffer>>>(AHEAD_BUFFERS);
        pieces.looks = true;
        // One is there already; one is filled while those wait and one is looked at.
        pieces.pool.make(AHEAD_BUFFERS + 1);
        let ahead = move || {
            while let Some(piece) = pieces.next().transpose() {
                let is_last = piece.is_err();
                if full_out.send(piece).is_err() || is_last {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("tailflip-ahead".to_owned());
        if thread.spawn_scoped(scope, ahead).is_err() {
            return Ok(false);
        }
        for buffer in full_in {
            if !take(&buffer?)? {
                break;
            }
        }
        Ok(true)
    })
}

fn check_start(bytes: &[u8]) -> Result<()> {
    match bytes {
        [] => Err(Error::invalid(ErrorKind::Empty, 0)),
        [0xEF, 0xBB, 0xBF, ..] => Err(Error::invalid(ErrorKind::Bom, 0)),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [b'{', 0, ..] | [0, b'{', ..] => {
            Err(Error::invalid(ErrorKind::Utf16, 0))
        }
        _ => Ok(()),
    }
}
