//! Puts archived entries back into a store that may have changed since.

use crate::bytes::lex::Chunk;
use crate::entry::fingerprint::fingerprint;
use crate::entry::{Entries, Entry, EntryVisitor};
use crate::external_sort::{Key, Prefer, Record, Sorted, Sorter, Spill};
use crate::input::error::Result;
use crate::input::io::{read_range, Control, ReadAt};
use crate::input::limits::BUFFER_BYTES;
use crate::pass::scan::scan;
use crate::write::archive::{Header, Reader};
use crate::write::edits::{space_before, Cutter};
use crate::write::output::Output;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::io::{Read, Write};
use std::sync::Arc;
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
pub struct RestoreNumbers {
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

/// What is known of a selected record, by the hash of its key and one of these.
const ARCHIVED: i64 = 0; // XXH3-128 of the archived member
const LEFT: i64 = 1; // BLAKE3 prefix of the member as our edit left it
const LEFT_BYTES: i64 = 2; // and its length

fn wide(key: Key, bytes: [u8; 16]) -> Record {
    let mut halves = [[0; 8]; 2];
    halves[0].copy_from_slice(&bytes[..8]);
    halves[1].copy_from_slice(&bytes[8..]);
    Record {
        key,
        weight: i64::from_le_bytes(halves[0]),
        value: u64::from_le_bytes(halves[1]),
    }
}

fn narrow(record: Record) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&record.weight.to_le_bytes());
    bytes[8..].copy_from_slice(&record.value.to_le_bytes());
    bytes
}

fn find_fate(fates: &Sorted, hash: u64) -> Result<Fate> {
    Ok(match fates.get((hash, 0))?.map(|found| found.value) {
        None => Fate::Gone,
        Some(1) => Fate::Same,
        Some(2) => Fate::AsLeft,
        Some(_) => Fate::Conflict,
    })
}

/// Writes to `out` the store with selected records of the archive put back.
///
/// `open_archive` is called twice. Entries keep their order, restored ones come last.
///
/// # Errors
///
/// As [`scan`] and [`Sorter::add`]; `Kind::Archive`.
///
/// # Memory
///
/// O(1): two [`Sorter`]s.
#[allow(clippy::too_many_arguments)]
pub fn restore<R: Read, W: Write>(
    store: &dyn ReadAt,
    out: W,
    mut open_archive: impl FnMut() -> Result<Reader<R>>,
    selection: &Selection,
    seed: u64,
    spill: Option<Arc<Spill>>,
    control: &Control,
) -> Result<RestoreNumbers> {
    let mut numbers = RestoreNumbers::default();
    let mut records = Sorter::new(Prefer::Last, spill.clone());
    index_records(&mut open_archive()?, selection, seed, &mut records, control)?;

    let match_up = Match {
        store,
        records: records.seal()?,
        fates: Sorter::new(Prefer::Last, spill),
        buffer: vec![0; BUFFER_BYTES],
    };
    let mut entries = Entries::new(match_up, seed);
    scan(store, control, &mut entries)?;
    let (records, fates) = (entries.inner.records, entries.inner.fates.seal()?);

    let merge = Merge {
        fates: &fates,
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

    let mut reader = open_archive()?;
    while let Some(header) = reader.next_header()? {
        if selection.has(&header) {
            let hash = fingerprint(seed, header.key.as_bytes());
            let archived = records.get((hash, ARCHIVED))?;
            merge.append(
                &mut reader,
                header,
                hash,
                archived,
                &separator,
                &mut numbers,
            )?;
        }
    }
    if merge.first_start.is_none() && merge.output.entries > 0 {
        merge.output.text(b"\n")?;
    }
    merge.output.copy_to(scanned.bytes)?;
    numbers.entries = merge.output.entries;
    (numbers.bytes, numbers.digest, numbers.kept_digest) = merge.output.finish()?;
    Ok(numbers)
}

/// Reads the selected records: what each holds.
fn index_records<R: Read>(
    reader: &mut Reader<R>,
    selection: &Selection,
    seed: u64,
    records: &mut Sorter,
    control: &Control,
) -> Result<()> {
    while let Some(header) = reader.next_header()? {
        if !selection.has(&header) {
            continue;
        }
        let mut hash = XxHash3_128::new();
        each_member_byte(reader, &header, |bytes| {
            hash.write(bytes);
            control.advance(0)
        })?;
        let key = fingerprint(seed, header.key.as_bytes());
        records.add(wide((key, ARCHIVED), hash.finish_128().to_le_bytes()))?;
        if let Some(digest) = header.after.as_deref().and_then(hex16) {
            records.add(wide((key, LEFT), digest))?;
            records.add(Record {
                key: (key, LEFT_BYTES),
                weight: 0,
                value: header.after_bytes,
            })?;
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
    records: Sorted,
    fates: Sorter,
    buffer: Vec<u8>,
}

impl Match<'_> {
    fn judge(&mut self, entry: &Entry, hash: u64, member: u128, archived: Record) -> Result<Fate> {
        if narrow(archived) == member.to_le_bytes() {
            return Ok(Fate::Same);
        }
        let bytes = self.records.get((hash, LEFT_BYTES))?;
        if bytes.is_none_or(|bytes| bytes.value != entry.places.span.len()) {
            return Ok(Fate::Conflict);
        }
        let mut digest = blake3::Hasher::new();
        let (from, to) = (entry.places.span.start, entry.places.span.end);
        read_range(self.store, from, to, &mut self.buffer, |bytes| {
            digest.update(bytes);
            Ok(())
        })?;
        let left = self.records.get((hash, LEFT))?.map(narrow);
        if left.is_some_and(|left| digest.finalize().as_bytes()[..16] == left) {
            return Ok(Fate::AsLeft);
        }
        Ok(Fate::Conflict)
    }
}

impl EntryVisitor for Match<'_> {
    fn entry(&mut self, entry: &Entry, chunk: &Chunk<'_>) -> Result<()> {
        let hash = entry.key(chunk).fingerprint;
        let Some(archived) = self.records.get((hash, ARCHIVED))? else {
            return Ok(());
        };
        let value = match self.judge(entry, hash, entry.member_hash(chunk), archived)? {
            Fate::Gone => return Ok(()),
            Fate::Same => 1,
            Fate::AsLeft => 2,
            Fate::Conflict => 3,
        };
        self.fates.add(Record {
            key: (hash, 0),
            weight: 0,
            value,
        })
    }
}

/// Second pass: copies the store without the entries that are to be replaced.
struct Merge<'a, W: Write> {
    fates: &'a Sorted,
    output: Output<'a, W>,
    cutter: Cutter,
    first_start: Option<u64>,
    /// Where restored entries go: after the last kept one, or before the closing brace.
    insert_at: u64,
}

impl<W: Write> Merge<'_, W> {
    fn leave_out(&mut self, cut: Option<crate::write::edits::Cut>) -> Result<()> {
        match cut {
            Some(cut) => {
                self.insert_at = self.insert_at.max(cut.range.end);
                self.output.replace(cut.range, b"")
            }
            None => Ok(()),
        }
    }

    /// Writes a record's member if it is gone, or as our edit left it.
    fn append<R: Read>(
        &mut self,
        reader: &mut Reader<R>,
        header: Header,
        hash: u64,
        archived: Option<Record>,
        separator: &str,
        numbers: &mut RestoreNumbers,
    ) -> Result<()> {
        match (find_fate(self.fates, hash)?, archived) {
            (fate @ (Fate::Gone | Fate::AsLeft), Some(archived)) => {
                if self.output.entries > 0 {
                    self.output.text(b",")?;
                }
                if self.output.entries > 0 || self.first_start.is_none() {
                    self.output.text(separator.as_bytes())?;
                }
                let output = &mut self.output;
                each_member_byte(reader, &header, |bytes| output.text(bytes))?;
                output.note_entry(u128::from_le_bytes(narrow(archived)));
                match fate {
                    Fate::Gone => numbers.added += 1,
                    _ => numbers.replaced += 1,
                }
            }
            (Fate::Same, _) => numbers.unchanged += 1,
            _ => {
                numbers.conflicts += 1;
                if numbers.conflict_keys.len() < 100 {
                    numbers.conflict_keys.push(header.key);
                }
            }
        }
        Ok(())
    }
}

impl<W: Write> EntryVisitor for Merge<'_, W> {
    fn entry(&mut self, entry: &Entry, chunk: &Chunk<'_>) -> Result<()> {
        self.first_start.get_or_insert(entry.places.span.start);
        let cut = self.cutter.entry_starts(entry.places.span.start);
        self.leave_out(cut)?;
        if find_fate(self.fates, entry.key(chunk).fingerprint)? == Fate::AsLeft {
            let cut = self.cutter.remove(entry.places.span);
            return self.leave_out(cut);
        }
        self.cutter.keep(entry.places.span);
        self.insert_at = entry.places.span.end;
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
