//! Gathers records: sorts them in memory, and merges parts in the scratch file.

use super::record::{Prefer, Record, RECORD_BYTES};
use super::sorted::{Records, Sorted, PAGE_BYTES};
use super::spill::{Part, Spill};
use crate::input::error::Result;
use crate::input::limits::{FAN, SORT_RECORDS};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::Arc;

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
        let Some(spill) = self.spill.clone().filter(|_| !self.parts.is_empty()) else {
            return Ok(Sorted::of_memory(self.buffer));
        };
        if !self.buffer.is_empty() {
            self.flush()?;
        }
        self.buffer = Vec::new();
        if self.parts.len() > 1 {
            self.merge_from(0)?;
        }
        Ok(Sorted::of_part(spill, self.parts[0]))
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
