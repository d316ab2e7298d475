//! Any number of small records, sorted by key, in constant memory.
//!
//! Records are gathered in a buffer. A full buffer is sorted and written to a scratch file as a
//! part; when [`FAN`] parts of one level are there, they are merged into one of the next. At the
//! end all are merged into one, in which a record is found by a page or two: the first half of a
//! key is a hash, so where it stands can be guessed. What fits into the buffer never meets the file.

use crate::input::error::Result;
use crate::input::io::ReadAt;
use crate::input::limits::{FAN, SORT_RECORDS};
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

const RECORD_BYTES: usize = 32;
const PAGE_RECORDS: usize = 128;
const PAGE_BYTES: usize = PAGE_RECORDS * RECORD_BYTES;
/// Guesses by the hash before the search halves: what is there may not be spread evenly.
const GUESSES: u32 = 3;

/// A hash, and an order among what has the same hash.
pub type Key = (u64, i64);

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// What it is found by.
    pub key: Key,
    /// Decides between records of one key.
    pub weight: i64,
    /// Whatever is to be known.
    pub value: u64,
}

impl Record {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.key.0.to_le_bytes());
        out.extend_from_slice(&self.key.1.to_le_bytes());
        out.extend_from_slice(&self.weight.to_le_bytes());
        out.extend_from_slice(&self.value.to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Self {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at * 8..at * 8 + 8]);
            word
        };
        Self {
            key: (u64::from_le_bytes(word(0)), i64::from_le_bytes(word(1))),
            weight: i64::from_le_bytes(word(2)),
            value: u64::from_le_bytes(word(3)),
        }
    }
}

/// Which of several records with one key stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefer {
    /// All of them, in the order in which they came.
    All,
    /// The last.
    Last,
    /// The heaviest; of equals the last.
    Heaviest,
    /// The lightest; of equals the first.
    Lightest,
}

impl Prefer {
    /// Says whether `new` takes the place of `old`; `None` if both stay.
    fn replaces(self, old: &Record, new: &Record) -> Option<bool> {
        match self {
            Self::All => None,
            Self::Last => Some(true),
            Self::Heaviest => Some(new.weight >= old.weight),
            Self::Lightest => Some(new.weight < old.weight),
        }
    }
}

/// A file without a name, for what does not fit into memory.
pub trait Scratch: ReadAt + Send {
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    ///
    /// Whatever the system says.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
}

/// A scratch file that several tables share; each part of theirs has its own range.
pub struct Spill {
    file: Box<dyn Scratch>,
    end: Mutex<u64>,
}

impl std::fmt::Debug for Spill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spill").finish_non_exhaustive()
    }
}

impl Spill {
    /// Takes an empty file.
    #[must_use]
    pub fn new(file: Box<dyn Scratch>) -> Arc<Self> {
        let end = Mutex::new(0);
        Arc::new(Self { file, end })
    }

    fn reserve(&self, bytes: u64) -> u64 {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let start = *end;
        *end += bytes;
        start
    }
}

#[derive(Debug, Clone, Copy)]
struct Part {
    start: u64,
    records: u64,
    level: u32,
}

/// Gathers records.
///
/// # Memory
///
/// O(1): a buffer of 512 KiB, and while parts are merged a page of 4 KiB for each.
#[derive(Debug)]
pub struct Sorter {
    prefer: Prefer,
    buffer: Vec<Record>,
    parts: Vec<Part>,
    spill: Option<Arc<Spill>>,
}

impl Sorter {
    /// Makes an empty one; without `spill` it holds no more than its buffer.
    #[must_use]
    pub fn new(prefer: Prefer, spill: Option<Arc<Spill>>) -> Self {
        Self {
            prefer,
            buffer: Vec::new(),
            parts: Vec::new(),
            spill,
        }
    }

    /// Says whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.parts.is_empty()
    }

    /// Adds a record.
    ///
    /// # Errors
    ///
    /// What writing to the scratch file says; `StorageFull` where there is none.
    pub fn add(&mut self, record: Record) -> Result<()> {
        if self.buffer.len() == SORT_RECORDS {
            self.sort();
            if self.buffer.len() > SORT_RECORDS / 2 {
                self.flush()?;
            }
        }
        self.buffer.push(record);
        Ok(())
    }

    /// Ends the gathering.
    ///
    /// # Errors
    ///
    /// As [`Sorter::add`].
    pub fn seal(mut self) -> Result<Sorted> {
        self.sort();
        let mut place = Place::Memory(std::mem::take(&mut self.buffer));
        if let (Some(spill), false) = (self.spill.clone(), self.parts.is_empty()) {
            if let Place::Memory(rest) = place {
                self.buffer = rest;
            }
            if !self.buffer.is_empty() {
                self.flush()?;
            }
            self.buffer = Vec::new();
            if self.parts.len() > 1 {
                self.merge_from(0)?;
            }
            let part = self.parts[0];
            let page = Mutex::default();
            place = Place::File { spill, part, page };
        }
        Ok(Sorted { place })
    }

    fn sort(&mut self) {
        self.buffer.sort_by_key(|record| record.key); // a stable sort: the last stays the last
        let prefer = self.prefer;
        self.buffer.dedup_by(|new, old| {
            if new.key != old.key {
                return false;
            }
            let replaces = prefer.replaces(old, new);
            if replaces == Some(true) {
                *old = *new;
            }
            replaces.is_some()
        });
    }

    fn flush(&mut self) -> Result<()> {
        let mut writer = PartWriter::new(self.spill()?, self.buffer.len() as u64, self.prefer);
        for record in self.buffer.drain(..) {
            writer.add(record)?;
        }
        self.parts.push(writer.finish(0)?);
        // Only the last ones are of one level: parts stay in the order in which they came.
        while let Some(first) = self.parts.len().checked_sub(FAN) {
            if self.parts[first].level != self.parts[self.parts.len() - 1].level {
                break;
            }
            self.merge_from(first)?;
        }
        Ok(())
    }

    fn spill(&self) -> Result<Arc<Spill>> {
        let none = || io::Error::from(io::ErrorKind::StorageFull);
        Ok(self.spill.clone().ok_or_else(none)?)
    }

    fn merge_from(&mut self, first: usize) -> Result<()> {
        let spill = self.spill()?;
        let merged = self.parts.split_off(first);
        let level = merged.iter().map(|part| part.level).max().unwrap_or(0) + 1;
        let total = merged.iter().map(|part| part.records).sum();
        let mut writer = PartWriter::new(spill.clone(), total, self.prefer);
        let mut readers: Vec<Records> = merged
            .into_iter()
            .map(|part| Records::of_part(spill.clone(), part))
            .collect();
        let mut heads = BinaryHeap::new();
        let mut next = Vec::with_capacity(readers.len());
        for (at, reader) in readers.iter_mut().enumerate() {
            let record = reader.next()?;
            if let Some(record) = record {
                heads.push(Reverse((record.key, at)));
            }
            next.push(record);
        }
        while let Some(Reverse((_, at))) = heads.pop() {
            if let Some(record) = next[at] {
                writer.add(record)?;
            }
            next[at] = readers[at].next()?;
            if let Some(record) = next[at] {
                heads.push(Reverse((record.key, at)));
            }
        }
        self.parts.push(writer.finish(level)?);
        Ok(())
    }
}

/// Writes sorted records, of which some may be superseded by what follows.
struct PartWriter {
    spill: Arc<Spill>,
    prefer: Prefer,
    start: u64,
    records: u64,
    held: Option<Record>,
    page: Vec<u8>,
    at: u64,
}

impl PartWriter {
    fn new(spill: Arc<Spill>, most: u64, prefer: Prefer) -> Self {
        let start = spill.reserve(most * RECORD_BYTES as u64);
        Self {
            spill,
            prefer,
            start,
            records: 0,
            held: None,
            page: Vec::with_capacity(16 * PAGE_BYTES),
            at: start,
        }
    }

    fn add(&mut self, record: Record) -> Result<()> {
        if let Some(old) = self.held {
            let same = old.key == record.key;
            match same.then(|| self.prefer.replaces(&old, &record)).flatten() {
                Some(true) => {}
                Some(false) => return Ok(()),
                None => self.put(&old)?,
            }
        }
        self.held = Some(record);
        Ok(())
    }

    fn put(&mut self, record: &Record) -> Result<()> {
        record.write(&mut self.page);
        self.records += 1;
        if self.page.len() >= 16 * PAGE_BYTES {
            self.write_page()?;
        }
        Ok(())
    }

    fn write_page(&mut self) -> Result<()> {
        self.spill.file.write_at(&self.page, self.at)?;
        self.at += self.page.len() as u64;
        self.page.clear();
        Ok(())
    }

    fn finish(mut self, level: u32) -> Result<Part> {
        if let Some(last) = self.held.take() {
            self.put(&last)?;
        }
        self.write_page()?;
        Ok(Part {
            start: self.start,
            records: self.records,
            level,
        })
    }
}

#[derive(Debug, Default)]
struct Page {
    first: u64,
    records: Vec<Record>,
    bytes: Vec<u8>,
}

impl Page {
    /// Reads the page that begins with record `first`, if it is not here already.
    fn load(&mut self, spill: &Spill, part: Part, first: u64) -> Result<()> {
        if self.first == first && !self.records.is_empty() {
            return Ok(());
        }
        let count = (part.records - first).min(PAGE_RECORDS as u64);
        self.bytes.resize(PAGE_BYTES, 0);
        self.records.clear();
        let bytes = usize::try_from(count).unwrap_or(0) * RECORD_BYTES;
        let from = part.start + first * RECORD_BYTES as u64;
        let mut done = 0;
        while done < bytes {
            let read = spill
                .file
                .read_at(&mut self.bytes[done..bytes], from + done as u64)?;
            if read == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            done += read;
        }
        self.records.extend(
            self.bytes[..bytes]
                .chunks_exact(RECORD_BYTES)
                .map(Record::read),
        );
        self.first = first;
        Ok(())
    }
}

#[derive(Debug)]
enum Place {
    Memory(Vec<Record>),
    File {
        spill: Arc<Spill>,
        part: Part,
        page: Mutex<Page>,
    },
}

/// All records, to be looked up.
#[derive(Debug)]
pub struct Sorted {
    place: Place,
}

impl Sorted {
    /// Returns an empty one.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            place: Place::Memory(Vec::new()),
        }
    }

    /// Says whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(&self.place, Place::Memory(records) if records.is_empty())
    }

    /// Finds the record with this key; of several the last.
    ///
    /// # Errors
    ///
    /// What reading the scratch file says.
    pub fn get(&self, key: Key) -> Result<Option<Record>> {
        Ok(self.at_or_before(key)?.filter(|found| found.key == key))
    }

    /// Finds the last record with the same hash whose order is not greater.
    ///
    /// # Errors
    ///
    /// What reading the scratch file says.
    pub fn at_or_before(&self, key: Key) -> Result<Option<Record>> {
        let found = match &self.place {
            Place::Memory(records) => last_not_after(records, key),
            Place::File { spill, part, page } => {
                let mut page = page.lock().unwrap_or_else(PoisonError::into_inner);
                search(spill, *part, &mut page, key)?
            }
        };
        Ok(found.filter(|found| found.key.0 == key.0))
    }

    /// Reads all records in order, from the beginning.
    #[must_use]
    pub fn records(self: &Arc<Self>) -> Records {
        match &self.place {
            Place::Memory(_) => Records {
                source: Source::Memory(self.clone()),
                at: 0,
            },
            Place::File { spill, part, .. } => Records::of_part(spill.clone(), *part),
        }
    }
}

fn last_not_after(records: &[Record], key: Key) -> Option<Record> {
    let after = records.partition_point(|record| record.key <= key);
    after.checked_sub(1).map(|at| records[at])
}

fn search(spill: &Spill, part: Part, page: &mut Page, key: Key) -> Result<Option<Record>> {
    let pages = part.records.div_ceil(PAGE_RECORDS as u64);
    let (mut low, mut high) = (0, pages);
    let (mut low_hash, mut high_hash) = (0, u64::MAX);
    let mut best = None;
    // Entries of one job come one after the other: begin where the last one was found.
    let mut guess = Some(page.first / PAGE_RECORDS as u64).filter(|_| !page.records.is_empty());
    let mut guesses = 0;
    while low < high {
        let at = guess
            .take()
            .filter(|at| (low..high).contains(at))
            .unwrap_or_else(|| {
                guesses += 1;
                if guesses > GUESSES {
                    return low + (high - low) / 2;
                }
                let offset = u128::from(key.0.saturating_sub(low_hash)) * u128::from(high - low);
                let width = u128::from(high_hash.saturating_sub(low_hash)) + 1;
                low + u64::try_from(offset / width)
                    .unwrap_or(0)
                    .min(high - low - 1)
            });
        page.load(spill, part, at * PAGE_RECORDS as u64)?;
        let (Some(first), Some(last)) = (page.records.first(), page.records.last()) else {
            break;
        };
        match (first.key.cmp(&key), last.key.cmp(&key)) {
            (Ordering::Greater, _) => (high, high_hash) = (at, first.key.0),
            (_, Ordering::Greater) => return Ok(last_not_after(&page.records, key)),
            _ => {
                best = Some(*last);
                (low, low_hash) = (at + 1, last.key.0);
            }
        }
    }
    Ok(best)
}

#[derive(Debug)]
enum Source {
    Memory(Arc<Sorted>),
    File(Arc<Spill>, Part, Page),
}

/// Reads records one after the other.
#[derive(Debug)]
pub struct Records {
    source: Source,
    at: u64,
}

impl Records {
    fn of_part(spill: Arc<Spill>, part: Part) -> Self {
        Self {
            source: Source::File(spill, part, Page::default()),
            at: 0,
        }
    }

    /// Returns the next record; `None` at the end.
    ///
    /// # Errors
    ///
    /// What reading the scratch file says.
    #[allow(clippy::should_implement_trait)] // it can fail
    pub fn next(&mut self) -> Result<Option<Record>> {
        let at = self.at;
        let found = match &mut self.source {
            Source::Memory(sorted) => match &sorted.place {
                Place::Memory(records) => usize::try_from(at)
                    .ok()
                    .and_then(|at| records.get(at))
                    .copied(),
                Place::File { .. } => None,
            },
            Source::File(_, part, _) if at >= part.records => None,
            Source::File(spill, part, page) => {
                let within = at % PAGE_RECORDS as u64;
                page.load(spill, *part, at - within)?;
                usize::try_from(within)
                    .ok()
                    .and_then(|at| page.records.get(at))
                    .copied()
            }
        };
        self.at += u64::from(found.is_some());
        Ok(found)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::similar_names)] // a test that panics has failed
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A scratch file in memory.
    #[derive(Default)]
    struct Bytes(Mutex<Vec<u8>>);

    impl ReadAt for Bytes {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let bytes = self.0.lock().unwrap();
            bytes.as_slice().read_at(buffer, offset)
        }
    }

    impl Scratch for Bytes {
        fn write_at(&self, new: &[u8], offset: u64) -> io::Result<()> {
            let mut bytes = self.0.lock().unwrap();
            let end = usize::try_from(offset).unwrap() + new.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[end - new.len()..end].copy_from_slice(new);
            Ok(())
        }
    }

    fn spread(n: u64) -> u64 {
        n.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    fn model(prefer: Prefer, records: &[Record]) -> Vec<Record> {
        let mut sorted = records.to_vec();
        sorted.sort_by_key(|record| record.key);
        let mut kept: Vec<Record> = Vec::new();
        for record in sorted {
            let last = kept.last_mut().filter(|old| old.key == record.key);
            match last.map(|old| (prefer.replaces(old, &record), old)) {
                Some((Some(true), old)) => *old = record,
                Some((Some(false), _)) => {}
                Some((None, _)) | None => kept.push(record),
            }
        }
        kept
    }

    fn check(prefer: Prefer, records: &[Record]) {
        let mut sorter = Sorter::new(prefer, Some(Spill::new(Box::<Bytes>::default())));
        for record in records {
            sorter.add(*record).unwrap();
        }
        let sorted = Arc::new(sorter.seal().unwrap());
        let expected = model(prefer, records);
        let (mut reader, mut all) = (sorted.records(), Vec::new());
        while let Some(record) = reader.next().unwrap() {
            all.push(record);
        }
        assert!(all == expected, "{prefer:?}: {} records", records.len());
        let step = (expected.len() / 500).max(1);
        for record in expected.iter().step_by(step) {
            for shift in [-1, 0, 1] {
                let key = (record.key.0, record.key.1 + shift);
                let wanted = last_not_after(&expected, key).filter(|found| found.key.0 == key.0);
                assert_eq!(sorted.at_or_before(key).unwrap(), wanted);
            }
            assert_eq!(sorted.get((record.key.0 ^ 1, 1 << 60)).unwrap(), None);
        }
    }

    fn make(count: u64, hashes: u64) -> Vec<Record> {
        let make = |n: u64| Record {
            key: (spread(n % hashes), i64::try_from(spread(n) >> 44).unwrap()),
            weight: i64::try_from(spread(n) >> 60).unwrap(),
            value: n,
        };
        (0..count).map(make).collect()
    }

    #[test]
    fn what_was_added_is_found_whether_it_fits_into_memory_or_not() {
        let much = SORT_RECORDS as u64 * (FAN as u64 + 3) + 17;
        for prefer in [
            Prefer::All,
            Prefer::Last,
            Prefer::Heaviest,
            Prefer::Lightest,
        ] {
            for (count, hashes) in [(0, 1), (1, 1), (1000, 7), (1000, 1000)] {
                check(prefer, &make(count, hashes));
            }
            check(prefer, &make(SORT_RECORDS as u64 * 3, 1));
            check(prefer, &make(SORT_RECORDS as u64 * 3, 1 << 40));
        }
        check(Prefer::Last, &make(much, 1 << 40));
        check(Prefer::All, &make(much, 3));
    }

    #[test]
    fn a_table_without_a_file_says_so_when_it_is_full() {
        let mut sorter = Sorter::new(Prefer::Last, None);
        let added = make(SORT_RECORDS as u64 + 1, 1 << 40)
            .iter()
            .try_for_each(|record| sorter.add(*record));
        assert!(added.is_err());
    }

    proptest! {
        #[test]
        fn of_one_key_the_preferred_stays(pairs in proptest::collection::vec((0u64..9, 0i64..4, 0i64..4), 0..60)) {
            let records: Vec<Record> = pairs
                .iter()
                .zip(0..)
                .map(|(&(hash, order, weight), value)| Record { key: (spread(hash), order), weight, value })
                .collect();
            for prefer in [Prefer::All, Prefer::Last, Prefer::Heaviest, Prefer::Lightest] {
                check(prefer, &records);
            }
        }
    }
}
