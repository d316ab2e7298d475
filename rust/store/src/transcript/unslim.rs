//! Puts a slimmed transcript and its archive together again: to undo, and to prove that it can be.

use super::parser::Parser;
use super::record::{Reads, Record};
use super::slim::replacement;
use crate::input::digest::Digest;
use crate::input::error::{Error, ErrorKind, Result};
use crate::input::io::{read_full, read_range, Control, ReadAt};
use crate::input::limits::BUFFER_BYTES;
use crate::write::archive::Reader;
use serde::Serialize;
use std::io::{BufWriter, Read, Write};
use twox_hash::XxHash3_128;

/// What was put together; serialises to what Python reads.
#[derive(Debug, Serialize)]
pub struct UnslimNumbers {
    /// Size of the transcript before it was slimmed.
    pub bytes: u64,
    /// XXH3-128 of it in hex.
    pub digest: String,
    /// XXH3-128 of the first bytes of the slimmed one, as many as were written then.
    pub digest_after: String,
    /// Bytes that follow these.
    pub appended: u64,
    /// Lines put back.
    pub lines: u64,
}

/// Writes the transcript as it was, and what was appended to it since.
///
/// With `original`, each line that changed is compared with it, byte for byte: it is as the rules
/// say, and the archive has the whole of it. `name` is what was given to [`slim`](super::slim()).
///
/// # Errors
///
/// `ErrorKind::Archive` when archive and transcript do not belong together, `ErrorKind::Changed`
/// when the slimmed transcript is shorter than it was, `Io`, `Cancelled`. The digests are for the
/// caller to compare.
///
/// # Memory
///
/// O(1): three buffers of 256 KiB, and what it takes to decompress.
pub fn unslim<R: Read, W: Write>(
    input: &dyn ReadAt,
    slim_bytes: u64,
    out: W,
    archive: Reader<R>,
    original: Option<(&dyn ReadAt, &str)>,
    control: &Control,
) -> Result<UnslimNumbers> {
    let mut joiner = Joiner {
        input,
        at: 0,
        slim_bytes,
        out: BufWriter::with_capacity(BUFFER_BYTES, out),
        bytes: 0,
        digest: XxHash3_128::new(),
        digest_after: XxHash3_128::new(),
        buffer: vec![0; BUFFER_BYTES],
        parser: Parser::new(),
        control,
    };
    let lines = joiner.join(archive, original)?;
    let appended = joiner.append()?;
    Ok(UnslimNumbers {
        bytes: joiner.bytes,
        digest: joiner.digest.to_hex(),
        digest_after: joiner.digest_after.to_hex(),
        appended,
        lines,
    })
}

/// Returns the XXH3-128 of `[from, to)` in hex.
///
/// # Errors
///
/// `ErrorKind::Changed` if the input is shorter, `Io`, `Cancelled`.
///
/// # Memory
///
/// O(1): a buffer of 256 KiB.
pub fn digest(input: &dyn ReadAt, from: u64, to: u64, control: &Control) -> Result<String> {
    let mut digest = XxHash3_128::new();
    read_range(input, from, to, &mut vec![0; BUFFER_BYTES], |bytes| {
        Digest::update(&mut digest, bytes);
        control.advance(bytes.len())
    })?;
    Ok(digest.to_hex())
}

struct Joiner<'a, W: Write> {
    input: &'a dyn ReadAt,
    /// How far the slimmed transcript was read.
    at: u64,
    slim_bytes: u64,
    out: BufWriter<W>,
    /// How far the original was written.
    bytes: u64,
    digest: XxHash3_128,
    digest_after: XxHash3_128,
    buffer: Vec<u8>,
    parser: Parser,
    control: &'a Control,
}

impl<W: Write> Joiner<'_, W> {
    fn join<R: Read>(
        &mut self,
        mut archive: Reader<R>,
        original: Option<(&dyn ReadAt, &str)>,
    ) -> Result<u64> {
        let mut lines = 0;
        while let Some(header) = archive.next_header()? {
            let same = header.at.checked_sub(self.bytes);
            self.copy(same.ok_or_else(|| self.damaged())?)?;
            let start = self.bytes;
            self.parser.begin(start);
            archive.raw(|bytes| {
                self.control.advance(bytes.len())?;
                Digest::update(&mut self.digest, bytes);
                self.out.write_all(bytes)?;
                if original.is_some() {
                    self.parser.feed(bytes, self.bytes, false);
                }
                self.bytes += bytes.len() as u64;
                Ok(())
            })?;
            let after = (self.at, self.take(header.after_bytes)?);
            if let Some((original, name)) = original {
                self.parser.end(self.bytes);
                if !self.is_as_ruled(original, name, after)? {
                    return Err(self.damaged());
                }
            }
            lines += 1;
        }
        self.copy(
            self.slim_bytes
                .checked_sub(self.at)
                .ok_or_else(|| self.damaged())?,
        )?;
        Ok(lines)
    }

    fn damaged(&self) -> Error {
        Error::invalid(ErrorKind::Archive, self.bytes)
    }

    /// Copies so many bytes of the slimmed transcript.
    fn copy(&mut self, bytes: u64) -> Result<()> {
        let to = self.end_of(bytes)?;
        read_range(self.input, self.at, to, &mut self.buffer, |piece| {
            self.control.advance(piece.len())?;
            Digest::update(&mut self.digest, piece);
            Digest::update(&mut self.digest_after, piece);
            Ok(self.out.write_all(piece)?)
        })?;
        self.at = to;
        self.bytes += bytes;
        Ok(())
    }

    /// Passes over so many bytes of it; returns where they end.
    fn take(&mut self, bytes: u64) -> Result<u64> {
        let to = self.end_of(bytes)?;
        read_range(self.input, self.at, to, &mut self.buffer, |piece| {
            Digest::update(&mut self.digest_after, piece);
            Ok(())
        })?;
        self.at = to;
        Ok(to)
    }

    fn end_of(&self, bytes: u64) -> Result<u64> {
        let to = self.at.checked_add(bytes);
        to.filter(|to| *to <= self.slim_bytes)
            .ok_or_else(|| self.damaged())
    }

    /// Writes what follows; returns how much that is.
    fn append(&mut self) -> Result<u64> {
        let mut appended = 0;
        loop {
            let count = read_full(self.input, &mut self.buffer, self.at)?;
            if count == 0 {
                break;
            }
            self.control.advance(count)?;
            self.out.write_all(&self.buffer[..count])?;
            self.at += count as u64;
            appended += count as u64;
        }
        self.out.flush()?;
        Ok(appended)
    }

    /// Says whether `[from, to)` of the slimmed transcript is the line that the parser has read,
    /// with its edits and nothing else.
    fn is_as_ruled(
        &mut self,
        original: &dyn ReadAt,
        name: &str,
        (from, to): (u64, u64),
    ) -> Result<bool> {
        let record = &self.parser.record;
        if record.reads != Reads::Surely || record.edits.is_empty() {
            return Ok(false);
        }
        let edits = record.edits.iter();
        let last = (record.end, record.end, None);
        let edits = edits.map(|edit| (edit.start, edit.end, Some(edit.what)));
        let (mut at, mut there) = (record.start, from);
        let (left, right) = self.buffer.split_at_mut(BUFFER_BYTES / 2);
        for (start, end, what) in edits.chain([last]) {
            if !is_same(original, at, start, self.input, there, left, right)? {
                return Ok(false);
            }
            there += start - at;
            at = end;
            let Some(what) = what else { continue };
            let text = replacement(what, name);
            let count = read_full(self.input, &mut left[..text.len()], there)?;
            if &left[..count] != text.as_bytes() {
                return Ok(false);
            }
            there += count as u64;
        }
        let before = (record.kind, record.role, record.id, record.parent);
        if there != to || !is_same_record(self.input, (from, to), before, left)? {
            return Ok(false);
        }
        Ok(true)
    }
}

type Facts = (
    Option<super::record::Kind>,
    Option<super::record::Role>,
    Option<super::record::Short>,
    Option<super::record::Short>,
);

/// Reads a slimmed line: it has the same facts, and nothing more to slim.
fn is_same_record(
    input: &dyn ReadAt,
    (from, to): (u64, u64),
    before: Facts,
    buffer: &mut [u8],
) -> Result<bool> {
    let mut parser = Parser::new();
    parser.begin(from);
    let mut at = from;
    read_range(input, from, to, buffer, |bytes| {
        parser.feed(bytes, at, false);
        at += bytes.len() as u64;
        Ok(())
    })?;
    parser.end(to);
    let Record {
        reads,
        kind,
        role,
        id,
        parent,
        ref edits,
        ..
    } = parser.record;
    Ok(reads == Reads::Surely && edits.is_empty() && (kind, role, id, parent) == before)
}

/// Compares `[from, to)` of one file with what another has from `there` on.
fn is_same(
    one: &dyn ReadAt,
    from: u64,
    to: u64,
    other: &dyn ReadAt,
    there: u64,
    left: &mut [u8],
    right: &mut [u8],
) -> Result<bool> {
    let (mut at, mut same) = (there, true);
    read_range(one, from, to, left, |bytes| {
        let right = &mut right[..bytes.len()];
        let count = read_full(other, right, at)?;
        same = same && right[..count] == *bytes;
        at += count as u64;
        Ok(())
    })?;
    Ok(same)
}
