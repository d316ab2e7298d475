//! When the runs of each job began, as many as there are.

use crate::bytes::lex::Chunk;
use crate::entry::fingerprint::fingerprint;
use crate::entry::key::KeyKind;
use crate::entry::{Entries, Entry, EntryVisitor};
use crate::external_sort::{Prefer, Record, Sorted, Sorter, Spill};
use crate::input::error::Result;
use crate::input::io::{Control, ReadAt};
use crate::input::limits::JOBS;
use crate::pass::list_entries::is_listed;
use crate::pass::scan::scan;
use std::collections::HashMap;
use std::sync::Arc;

/// Gathers starts of runs.
///
/// # Memory
///
/// O(1): a [`Sorter`], and the names of [`JOBS`] jobs.
#[derive(Debug)]
pub struct RunStarts {
    seed: u64,
    sorter: Sorter,
    names: HashMap<u64, String>,
}

impl RunStarts {
    /// Makes an empty one; `seed` should be random.
    #[must_use]
    pub fn new(seed: u64, spill: Option<Arc<Spill>>) -> Self {
        Self {
            seed,
            sorter: Sorter::new(Prefer::All, spill),
            names: HashMap::new(),
        }
    }

    /// Returns what a job is known by here.
    #[must_use]
    pub fn hash(&self, job: &str) -> u64 {
        fingerprint(self.seed, job.as_bytes())
    }

    /// Returns a job's name, if it was among the first [`JOBS`].
    #[must_use]
    pub fn name(&self, hash: u64) -> Option<&str> {
        self.names.get(&hash).map(String::as_str)
    }

    /// Notes the start of a run.
    ///
    /// # Errors
    ///
    /// As [`Sorter::add`].
    pub fn add(&mut self, job: &str, at_ms: i64) -> Result<()> {
        let hash = self.hash(job);
        if self.names.len() < JOBS {
            self.names.entry(hash).or_insert_with(|| job.to_owned());
        }
        let key = (hash, at_ms);
        self.sorter.add(Record {
            key,
            weight: 0,
            value: 0,
        })
    }

    /// Notes the starts, later than `since_ms`, of all cron runs of a store.
    ///
    /// # Errors
    ///
    /// As [`scan`] and [`Sorter::add`].
    pub fn gather(&mut self, input: &dyn ReadAt, since_ms: i64, control: &Control) -> Result<()> {
        let seed = self.seed;
        let starts = self;
        let mut entries = Entries::new(Gatherer { starts, since_ms }, seed);
        scan(input, control, &mut entries).map(|_| ())
    }

    /// Ends the gathering, and returns all starts by job, the oldest first; names stay.
    ///
    /// # Errors
    ///
    /// As [`Sorter::add`].
    pub fn seal(&mut self) -> Result<Sorted> {
        std::mem::replace(&mut self.sorter, Sorter::new(Prefer::All, None)).seal()
    }
}

struct Gatherer<'a> {
    starts: &'a mut RunStarts,
    since_ms: i64,
}

impl EntryVisitor for Gatherer<'_> {
    fn entry(&mut self, entry: &Entry, chunk: &Chunk<'_>) -> Result<()> {
        let key = entry.key(chunk);
        match (key.parsed.kind, entry.fields.updated_ms) {
            (KeyKind::CronRun, Some(at)) if at > self.since_ms && is_listed(entry, &key) => {
                self.starts.add(key.parsed.job, at)
            }
            _ => Ok(()),
        }
    }
}
