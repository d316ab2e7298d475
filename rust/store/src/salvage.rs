//! Takes every complete entry out of a damaged store.

use crate::entry::{Entries, Entry, EntryVisitor};
use crate::error::{Error, Kind, Result};
use crate::io::{read_full, scan, Control, ReadAt};
use crate::lex::Chunk;
use crate::rewrite::Output;
use serde::Serialize;
use std::io::{self, Write};

const BOM: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// What can be had of a damaged store; serialises to what Python reads.
#[derive(Debug, Serialize)]
pub struct Numbers {
    /// Complete entries before the damage.
    pub entries: u64,
    /// Size of the salvaged store.
    pub bytes: u64,
    /// XXH3-128 of it in hex.
    pub digest: String,
    /// BLAKE3 over the XXH3-128 of each entry.
    pub kept_digest: String,
    /// Kind of the damage; `none` for a sound store.
    pub damage: String,
    /// Where it is.
    pub offset: u64,
    /// Bytes after the last complete entry.
    pub lost_bytes: u64,
}

/// Writes `{`, every complete entry up to the damage with what separates them, and `}`.
///
/// A byte order mark is damage that costs nothing: what follows it is read as usual.
///
/// # Errors
///
/// `Io`, `Cancelled`. Damage is not an error here, but what is sought.
pub fn salvage<W: Write>(
    input: &dyn ReadAt,
    input_bytes: u64,
    out: W,
    control: &Control,
) -> Result<Numbers> {
    let mut start = [0; BOM.len()];
    let skip = match read_full(input, &mut start, 0)? {
        3 if start == BOM => 3,
        _ => 0,
    };
    let input: &dyn ReadAt = &After { input, skip };
    let find = Find {
        last_end: 0,
        output: Output::new(input, control, out),
    };
    let mut entries = Entries::new(find, 0);
    let (damage, offset) = match scan(input, control, &mut entries) {
        Ok(_) if skip > 0 => (Kind::Bom.name(), 0),
        Ok(_) => ("none", input_bytes),
        Err(Error::Invalid { kind, offset }) => (kind.name(), offset + skip),
        Err(other) => return Err(other),
    };
    let Find {
        last_end,
        mut output,
    } = entries.inner;
    let entries = output.entries;
    if entries > 0 {
        output.copy_to(last_end)?;
        output.text(b"\n}")?;
    } else {
        output.text(b"{}")?;
    }
    let (bytes, digest, kept_digest) = output.finish()?;
    Ok(Numbers {
        entries,
        bytes,
        digest,
        kept_digest,
        damage: damage.to_owned(),
        offset,
        lost_bytes: input_bytes.saturating_sub(skip + last_end),
    })
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

struct Find<'a, W: Write> {
    last_end: u64,
    output: Output<'a, W>,
}

impl<W: Write> EntryVisitor for Find<'_, W> {
    fn entry(&mut self, entry: &Entry, chunk: &Chunk<'_>) -> Result<()> {
        self.last_end = entry.span.end;
        self.output.note_entry(entry.member_hash(chunk));
        Ok(())
    }
}
