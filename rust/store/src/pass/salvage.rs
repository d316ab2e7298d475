//! Takes every entry that is proven out of a damaged store.

mod indentation;
mod line;
mod line_finder;
mod single;

use crate::bytes::lex::{Chunk, Event, Visitor};
use crate::entry::{Entries, Entry, EntryVisitor, Span};
use crate::input::error::{Error, ErrorKind, Result};
use crate::input::io::{read_full, Control, ReadAt};
use crate::input::limits::{BUFFER_BYTES, GAPS};
use crate::pass::scan::scan;
use crate::write::output::Output;
use indentation::Indentation;
use line_finder::{LineFinder, Proven};
use serde::Serialize;
use std::io::{self, Write};

const BOM: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// What can be had of a damaged store; serialises to what Python reads.
#[derive(Debug, Serialize)]
pub struct SalvageNumbers {
    /// Entries that are proven, before and after the damage.
    pub entries: u64,
    /// Size of the salvaged store.
    pub bytes: u64,
    /// XXH3-128 of it in hex.
    pub digest: String,
    /// BLAKE3 over the XXH3-128 of each entry.
    pub kept_digest: String,
    /// Kind of the damage; `none` for a sound store.
    pub damage: &'static str,
    /// Where a reader meets it.
    pub offset: u64,
    /// Entries that were left behind: at least so many.
    pub left: u64,
    /// Bytes between the entries that are no separators.
    pub lost_bytes: u64,
    /// The first places where these are, `[start, end)`.
    pub gaps: Vec<(u64, u64)>,
    /// How many there are.
    pub gap_count: u64,
    /// Where something lies that may be a whole entry but is not proven; none when nothing is
    /// left behind that the damage does not touch.
    pub unsure: Option<u64>,
    /// The end of the store is gone, and nobody knows how much before it.
    pub cut: bool,
    /// It holds no byte but white space and NUL.
    pub blank: bool,
}

/// Writes the entries that are proven, laid out as the store is.
///
/// A byte order mark is damage that costs nothing: what follows it is read as usual.
///
/// # Errors
///
/// `Io`, `Cancelled`. Damage is not an error here, but what is sought.
///
/// # Memory
///
/// O(1): that of a scan, and three buffers of 256 KiB.
pub fn salvage<W: Write>(
    input: &dyn ReadAt,
    input_bytes: u64,
    out: W,
    control: &Control,
) -> Result<SalvageNumbers> {
    let mut start = [0; BOM.len()];
    let skip = match read_full(input, &mut start, 0)? {
        3 if start == BOM => 3,
        _ => 0,
    };
    let input: &dyn ReadAt = &After { input, skip };
    let keep = Keep {
        input,
        output: Output::new(input, control, out),
        indentation: Indentation::find(&[]),
        last_end: 0,
        left: 0,
        lost_bytes: 0,
        gaps: Vec::new(),
        gap_count: 0,
    };
    let (kind, offset) = match scan(input, control, &mut Deaf) {
        Ok(_) if skip > 0 => (ErrorKind::Bom.name(), 0),
        Ok(_) => ("none", input_bytes),
        Err(Error::Invalid { kind, offset }) => {
            return damaged(keep, kind, offset + skip, input_bytes - skip, skip, control)
        }
        Err(other) => return Err(other),
    };
    let mut entries = Entries::new(keep, 0);
    scan(input, control, &mut entries)?;
    let mut keep = entries.inner;
    keep.output.copy_to(input_bytes - skip)?;
    let mut numbers = keep.finish()?;
    (numbers.damage, numbers.offset) = (kind, offset);
    Ok(numbers)
}

fn damaged<W: Write>(
    mut keep: Keep<'_, W>,
    kind: ErrorKind,
    offset: u64,
    input_bytes: u64,
    skip: u64,
    control: &Control,
) -> Result<SalvageNumbers> {
    let input = keep.input;
    let mut head = vec![0; BUFFER_BYTES];
    let filled = read_full(input, &mut head, 0)?;
    head.truncate(filled);
    let blank = is_all(input, 0, input_bytes, is_blank)?;
    // Another document than a store, unless only its first byte is.
    let is_other = match kind {
        ErrorKind::Utf16 => true,
        ErrorKind::Root => !matches!(head.get(1..3), Some([b'\n', _] | [b'\r', b'\n'])),
        _ => false,
    };
    let (mut unsure, mut cut) = (Some(0), false);
    if !is_other && !blank {
        keep.indentation = Indentation::find(&head);
        let mut finder = LineFinder::new(input, control, keep.indentation, keep);
        finder.run()?;
        let torn = finder.torn;
        (unsure, cut) = (finder.unsure, !finder.has_end);
        keep = finder.inner;
        if keep.output.entries == 0 && !(cut && keep.indentation.is_seen) {
            unsure = Some(0); // who knows what its indentation was
        }
        keep.gap(input_bytes, torn, Some(b'}'))?;
    }
    keep.close()?;
    let mut numbers = keep.finish()?;
    numbers.damage = kind.name();
    numbers.offset = offset;
    numbers.unsure = unsure.filter(|_| !blank).map(|at| at + skip);
    (numbers.cut, numbers.blank) = (cut, blank);
    for (start, end) in &mut numbers.gaps {
        (*start, *end) = (*start + skip, *end + skip);
    }
    Ok(numbers)
}

fn is_blank(byte: u8) -> bool {
    byte == 0 || byte.is_ascii_whitespace()
}

/// Says whether all bytes of a range are as `test` says.
fn is_all(
    input: &dyn ReadAt,
    from: u64,
    to: u64,
    mut test: impl FnMut(u8) -> bool,
) -> Result<bool> {
    let mut buffer = [0; 4096];
    let mut at = from;
    while at < to {
        let want = usize::try_from(to - at).map_or(buffer.len(), |left| left.min(buffer.len()));
        let got = read_full(input, &mut buffer[..want], at)?;
        if got < want {
            return Err(Error::invalid(ErrorKind::Changed, at + got as u64));
        }
        if !buffer[..got].iter().all(|byte| test(*byte)) {
            return Ok(false);
        }
        at += got as u64;
    }
    Ok(true)
}

/// The input without its first `skip` bytes.
struct After<'a> {
    input: &'a dyn ReadAt,
    skip: u64,
}

impl ReadAt for After<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.input.read_at(buffer, offset + self.skip)
    }
}

/// Hears nothing: only whether the store is valid matters.
struct Deaf;

impl Visitor for Deaf {
    fn event(&mut self, _: Event<'_>, _: &Chunk<'_>) -> Result<()> {
        Ok(())
    }

    fn chunk_end(&mut self, _: &Chunk<'_>) {}
}

/// The salvaged store being written.
struct Keep<'a, W: Write> {
    input: &'a dyn ReadAt,
    output: Output<'a, W>,
    indentation: Indentation,
    last_end: u64,
    left: u64,
    lost_bytes: u64,
    gaps: Vec<(u64, u64)>,
    gap_count: u64,
}

impl<W: Write> Keep<'_, W> {
    /// Looks at what lies before the next entry, or with `brace` at what is around all of them.
    fn gap(&mut self, end: u64, torn: u64, mut brace: Option<u8>) -> Result<()> {
        let start = self.last_end;
        self.left += torn;
        let is_empty = is_all(self.input, start, end, |byte| {
            matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',')
                || brace.take_if(|brace| *brace == byte).is_some()
        })?;
        if torn > 0 || !is_empty {
            self.lost_bytes += end - start;
            self.gap_count += 1;
            if self.gaps.len() < GAPS {
                self.gaps.push((start, end));
            }
        }
        Ok(())
    }

    /// Ends a store that was put together anew.
    fn close(&mut self) -> Result<()> {
        if self.output.entries == 0 {
            return self.output.text(b"{}");
        }
        self.output.copy_to(self.last_end)?;
        self.output.text(self.indentation.line_break())?;
        self.output.text(b"}")
    }

    fn finish(self) -> Result<SalvageNumbers> {
        let entries = self.output.entries;
        let (bytes, digest, kept_digest) = self.output.finish()?;
        Ok(SalvageNumbers {
            entries,
            bytes,
            digest,
            kept_digest,
            damage: "none",
            offset: 0,
            left: self.left,
            lost_bytes: self.lost_bytes,
            gaps: self.gaps,
            gap_count: self.gap_count,
            unsure: None,
            cut: false,
            blank: false,
        })
    }
}

impl<W: Write> Proven for Keep<'_, W> {
    fn entry(&mut self, start: u64, end: u64, hash: u128, torn: u64) -> Result<()> {
        let is_first = self.output.entries == 0;
        self.gap(start, torn, is_first.then_some(b'{'))?;
        let between = Span {
            start: self.last_end,
            end: start,
        };
        let mut text = if is_first { b"{" } else { b"," }.to_vec();
        text.extend(self.indentation.before_entry());
        self.output.replace(between, &text)?;
        self.last_end = end;
        self.output.note_entry(hash);
        Ok(())
    }
}

impl<W: Write> EntryVisitor for Keep<'_, W> {
    fn entry(&mut self, entry: &Entry, chunk: &Chunk<'_>) -> Result<()> {
        self.last_end = entry.places.span.end;
        self.output.note_entry(entry.member_hash(chunk));
        Ok(())
    }
}
