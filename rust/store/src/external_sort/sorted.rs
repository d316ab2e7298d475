//! Looks records up, in memory or by pages of the scratch file.

use super::record::{Key, Record, RECORD_BYTES};
use super::spill::{Part, Spill};
use crate::input::error::Result;
use std::cmp::Ordering;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

const PAGE_RECORDS: usize = 128;
pub(super) const PAGE_BYTES: usize = PAGE_RECORDS * RECORD_BYTES;
/// Guesses by the hash before the search halves: what is there may not be spread evenly.
const GUESSES: u32 = 3;

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
        Self::of_memory(Vec::new())
    }

    pub(super) fn of_memory(records: Vec<Record>) -> Self {
        Self {
            place: Place::Memory(records),
        }
    }

    pub(super) fn of_part(spill: Arc<Spill>, part: Part) -> Self {
        let page = Mutex::default();
        Self {
            place: Place::File { spill, part, page },
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

pub(super) fn last_not_after(records: &[Record], key: Key) -> Option<Record> {
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
    pub(super) fn of_part(spill: Arc<Spill>, part: Part) -> Self {
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
