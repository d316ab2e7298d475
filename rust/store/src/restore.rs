//! Puts archived entries back into a store that may have changed since.

use crate::archive::{Header, Reader};
use crate::cut::{space_before, Cutter};
use crate::entry::{Entries, Entry, EntryVisitor};
use crate::error::Result;
use crate::io::{read_range, scan, Control, ReadAt};
use crate::key::fingerprint;
use crate::lex::Chunk;
use crate::limits::{BUFFER_BYTES, RESTORE_RECORDS};
use crate::rewrite::Output;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use twox_hash::XxHash3_128;

/// Which records to put back.
#[derive(Debug, Default, Deserialize)]
pub struct Selection {
    /// Every one.
    pub all: bool,
    /// Those under these keys.
    pub keys: HashSet<String>,
    /// Those of these cron jobs.
    pub jobs: HashSet<String>,
}

impl Selection {
    fn has(&self, header: &Header) -> bool {
        self.all
            || self.keys.contains(&header.key)
            || header
                .job
                .as_ref()
                .is_some_and(|job| self.jobs.contains(job))
    }
}

/// What a restore wrote; serialises to what Python reads.
#[derive(Debug, Default, Serialize)]
pub struct Numbers {
    /// Entries that were gone.
    pub added: u64,
    /// Entries that had been edited and were as we left them.
    pub replaced: u64,
    /// Entries that are there as archived.
    pub unchanged: u64,
    /// Keys that live again, changed: left alone.
    pub conflicts: u64,
    /// The first hundred of these.
    pub conflict_keys: Vec<String>,
    /// Selected records looked at in this call.
    pub handled: u64,
    /// More selected records remain.
    pub more: bool,
    /// Size of the new store.
    pub bytes: u64,
    /// Its entries.
    pub entries: u64,
    /// XXH3-128 of it in hex.
    pub digest: String,
    /// BLAKE3 over the XXH3-128 of each entry.
    pub kept_digest: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Not seen in the store: to be added.
    Gone,
    /// There, as archived.
    Same,
    /// There, as our edit left it: to be replaced.
    AsLeft,
    /// There, otherwise.
    Conflict,
}

#[derive(Debug)]
struct Record {
    fate: Fate,
    /// XXH3-128 of the archived member.
    archived: u128,
    /// BLAKE3 prefix and length of the member as our edit left it.
    left: Option<([u8; 16], u64)>,
}

/// Writes to `out` the store with selected records of the archive put back.
///
/// `open_archive` is called twice. At most [`RESTORE_RECORDS`] selected records are handled,
/// after the first `skip`; entries keep their order, restored ones come last.
///
/// # Errors
///
/// As [`scan`]; `Kind::Archive`.
///
/// # Memory
///
/// O(1): the table of records, at most about 24 MiB.
pub fn restore<R: Read, W: Write>(
    store: &dyn ReadAt,
    out: W,
    mut open_archive: impl FnMut() -> Result<Reader<R>>,
    selection: &Selection,
    skip: u64,
    seed: u64,
    control: &Control,
) -> Result<Numbers> {
    let mut numbers = Numbers::default();
    let records = index_records(
        &mut open_archive()?,
        selection,
        skip,
        seed,
        &mut numbers,
        control,
    )?;

    let match_up = Match {
        store,
        records,
        buffer: vec![0; BUFFER_BYTES],
    };
    let mut entries = Entries::new(match_up, seed);
    scan(store, control, &mut entries)?;
    let records = entries.inner.records;

    let merge = Merge {
        records: &records,
        output: Output::new(store, control, out),
        cutter: Cutter::default(),
        first_start: None,
        insert_at: 0,
    };
    let mut entries = Entries::new(merge, seed);
    let scanned = scan(store, control, &mut entries)?;
    let mut merge = entries.inner;
    merge.output.copy_to(merge.insert_at)?;
    let separator = match merge.first_start {
        Some(at) => space_before(store, at)?,
        None => "\n  ".to_owned(),
    };

    append_records(
        &mut open_archive()?,
        selection,
        skip,
        seed,
        &mut numbers,
        &mut merge,
        &separator,
    )?;
    if merge.first_start.is_none() && merge.output.entries > 0 {
        merge.output.text(b"\n")?;
    }
    merge.output.copy_to(scanned.bytes)?;
    numbers.entries = merge.output.entries;
    (numbers.bytes, numbers.digest, numbers.kept_digest) = merge.output.finish()?;
    Ok(numbers)
}

/// Reads the selected records of this call: what each holds.
fn index_records<R: Read>(
    reader: &mut Reader<R>,
    selection: &Selection,
    skip: u64,
    seed: u64,
    numbers: &mut Numbers,
    control: &Control,
) -> Result<HashMap<u64, Record>> {
    let mut records = HashMap::new();
    let mut selected = 0;
    while let Some(header) = reader.next_header()? {
        if !selection.has(&header) {
            continue;
        }
        selected += 1;
        if selected <= skip {
            continue;
        }
        if records.len() == RESTORE_RECORDS {
            numbers.more = true;
            break;
        }
        numbers.handled += 1;
        let mut hash = XxHash3_128::new();
        each_member_byte(reader, &header, |bytes| {
            hash.write(bytes);
            control.advance(0)
        })?;
        let left = header
            .after
            .as_deref()
            .and_then(hex16)
            .map(|d| (d, header.after_bytes));
        let record = Record {
            fate: Fate::Gone,
            archived: hash.finish_128(),
            left,
        };
        records.insert(fingerprint(seed, header.key.as_bytes()), record);
    }
    Ok(records)
}

/// Writes those of the same records that are gone, or as our edit left them.
fn append_records<R: Read, W: Write>(
    reader: &mut Reader<R>,
    selection: &Selection,
    skip: u64,
    seed: u64,
    numbers: &mut Numbers,
    merge: &mut Merge<'_, W>,
    separator: &str,
) -> Result<()> {
    let mut passed = 0;
    while let Some(header) = reader.next_header()? {
        if !selection.has(&header) {
            continue;
        }
        passed += 1;
        if passed <= skip {
            continue;
        }
        if passed > skip + numbers.handled {
            break;
        }
        let hash = fingerprint(seed, header.key.as_bytes());
        match merge
            .records
            .get(&hash)
            .map(|record| (record.fate, record.archived))
        {
            Some((fate @ (Fate::Gone | Fate::AsLeft), archived)) => {
                if merge.output.entries > 0 {
                    merge.output.text(b",")?;
                }
                if merge.output.entries > 0 || merge.first_start.is_none() {
                    merge.output.text(separator.as_bytes())?;
                }
                let output = &mut merge.output;
                each_member_byte(reader, &header, |bytes| output.text(bytes))?;
                merge.output.note_entry(archived);
                if fate == Fate::Gone {
                    numbers.added += 1;
                } else {
                    numbers.replaced += 1;
                }
            }
            Some((Fate::Same, _)) => numbers.unchanged += 1,
            _ => {
                numbers.conflicts += 1;
                if numbers.conflict_keys.len() < 100 {
                    numbers.conflict_keys.push(header.key);
                }
            }
        }
    }
    Ok(())
}

/// Passes the member's bytes, without the separators that left with it, to `each`.
fn each_member_byte<R: Read>(
    reader: &mut Reader<R>,
    header: &Header,
    mut each: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let (from, to) = (header.lead, header.bytes - header.trail);
    let mut at = 0u64;
    reader.raw(|bytes| {
        let inside = |offset: u64| {
            usize::try_from(offset.saturating_sub(at)).map_or(bytes.len(), |o| o.min(bytes.len()))
        };
        let piece = &bytes[inside(from)..inside(to)];
        at += bytes.len() as u64;
        each(piece)
    })
}

fn hex16(text: &str) -> Option<[u8; 16]> {
    let hash = blake3::Hash::from_hex(text).ok()?;
    let mut prefix = [0; 16];
    prefix.copy_from_slice(&hash.as_bytes()[..16]);
    Some(prefix)
}

/// First pass over the store: what has become of each selected record?
struct Match<'a> {
    store: &'a dyn ReadAt,
    records: HashMap<u64, Record>,
    buffer: Vec<u8>,
}

impl EntryVisitor for Match<'_> {
    fn entry(&mut self, entry: &Entry, chunk: &Chunk<'_>) -> Result<()> {
        let Some(record) = self.records.get_mut(&entry.key(chunk).fingerprint) else {
            return Ok(());
        };
        if entry.member_hash(chunk) == record.archived {
            record.fate = Fate::Same;
            return Ok(());
        }
        record.fate = Fate::Conflict;
        if let Some((digest, bytes)) = record.left {
            if bytes == entry.span.len() {
                let mut hash = blake3::Hasher::new();
                let (from, to) = (entry.span.start, entry.span.end);
                read_range(self.store, from, to, &mut self.buffer, |bytes| {
                    hash.update(bytes);
                    Ok(())
                })?;
                if hash.finalize().as_bytes()[..16] == digest {
                    record.fate = Fate::AsLeft;
                }
            }
        }
        Ok(())
    }
}

/// Second pass: copies the store without the entries that are to be replaced.
struct Merge<'a, W: Write> {
    records: &'a HashMap<u64, Record>,
    output: Output<'a, W>,
    cutter: Cutter,
    first_start: Option<u64>,
    /// Where restored entries go: after the last kept one, or before the closing brace.
    insert_at: u64,
}

impl<W: Write> Merge<'_, W> {
    fn leave_out(&mut self, cut: Option<crate::cut::Cut>) -> Result<()> {
        match cut {
            Some(cut) => {
                self.insert_at = self.insert_at.max(cut.range.end);
                self.output.replace(cut.range, b"")
            }
            None => Ok(()),
        }
    }
}

impl<W: Write> EntryVisitor for Merge<'_, W> {
    fn entry(&mut self, entry: &Entry, chunk: &Chunk<'_>) -> Result<()> {
        self.first_start.get_or_insert(entry.span.start);
        let cut = self.cutter.entry_starts(entry.span.start);
        self.leave_out(cut)?;
        let fate = self
            .records
            .get(&entry.key(chunk).fingerprint)
            .map(|record| record.fate);
        if fate == Some(Fate::AsLeft) {
            let cut = self.cutter.remove(entry.span);
            return self.leave_out(cut);
        }
        self.cutter.keep(entry.span);
        self.insert_at = entry.span.end;
        self.output.note_entry(entry.member_hash(chunk));
        Ok(())
    }

    fn root_end(&mut self, at: u64) -> Result<()> {
        let cut = self.cutter.finish();
        self.leave_out(cut)?;
        if self.first_start.is_none() {
            self.insert_at = at;
        }
        Ok(())
    }
}
