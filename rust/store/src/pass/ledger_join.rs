//! Joins the ends that ledgers have on record to the entries of a store.
//!
//! A line with a session key is that run's. One without (a run cut by its time-out, or that threw
//! early; every task) is matched by job and time: an entry's `updatedAt` is the start of its run or
//! a moment later, so it lies within the line's span. One line ends at most one run: of several
//! entries within a span the one that began nearest to the line's start is it. That takes a look
//! ahead at all entries, which also finds the session that each base entry names.

use crate::bytes::lex::Chunk;
use crate::entry::fingerprint::fingerprint;
use crate::entry::key::KeyKind;
use crate::entry::{Entries, Entry, EntryVisitor, Key, Status};
use crate::external_sort::{Prefer, Record, Sorted, Sorter, Spill};
use crate::input::error::Result;
use crate::input::io::{Control, ReadAt};
use crate::judge::run_ends::{pair, RunEnd};
use crate::judge::verdict::job_hash;
use crate::pass::list_entries::is_listed;
use crate::pass::scan::scan;
use std::sync::Arc;

/// How many ledgers are joined: the run logs and the task ledger.
pub const LEDGERS: usize = 2;

/// One line of a ledger: a run that ended.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// The job's id.
    pub job: &'a str,
    /// Session key and session id, if the line has them.
    pub run: Option<(&'a str, &'a str)>,
    /// A terminal status.
    pub status: Status,
    /// Start, ms.
    pub started_ms: i64,
    /// End, ms.
    pub ended_ms: i64,
}

/// Gathers the lines of all ledgers.
///
/// # Memory
///
/// O(1): a [`Sorter`] for each sort of line.
#[derive(Debug)]
pub struct LedgerLines {
    seed: u64,
    spill: Option<Arc<Spill>>,
    books: [Lines; LEDGERS],
}

#[derive(Debug)]
struct Lines {
    keyed: Sorter,
    loose: Sorter,
}

impl LedgerLines {
    /// Makes empty ones; `seed` should be random.
    #[must_use]
    pub fn new(seed: u64, spill: Option<Arc<Spill>>) -> Self {
        let books = std::array::from_fn(|_| Lines {
            keyed: Sorter::new(Prefer::Heaviest, spill.clone()),
            loose: Sorter::new(Prefer::Last, spill.clone()),
        });
        Self { seed, spill, books }
    }

    /// Adds a line to one ledger; nothing where there is no such ledger.
    ///
    /// # Errors
    ///
    /// As [`Sorter::add`].
    pub fn add(&mut self, ledger: usize, line: &Line<'_>) -> Result<()> {
        let Some(book) = self.books.get_mut(ledger) else {
            return Ok(());
        };
        let over = RunEnd {
            status: line.status,
            ended_at_ms: line.ended_ms,
            runtime_ms: line.ended_ms.saturating_sub(line.started_ms),
        };
        if let Some((key, session)) = line.run {
            let run = pair(self.seed, key, session);
            return book.keyed.add(over.record((run, 0)));
        }
        let job = fingerprint(self.seed, line.job.as_bytes());
        book.loose.add(over.record((job, line.started_ms)))
    }

    /// Reads a store once, and finds out whom lines without a key are about.
    ///
    /// # Errors
    ///
    /// As [`scan`] and [`Sorter::add`].
    pub fn look_ahead(self, input: &dyn ReadAt, control: &Control) -> Result<JoinedLedgers> {
        let (seed, spill) = (self.seed, self.spill);
        let mut books = Vec::with_capacity(LEDGERS);
        for lines in self.books {
            books.push(Ahead {
                keyed: lines.keyed.seal()?,
                loose: Arc::new(lines.loose.seal()?),
                nearest: Sorter::new(Prefer::Lightest, spill.clone()),
            });
        }
        let visitor = LookAhead {
            seed,
            bases: Sorter::new(Prefer::Last, spill.clone()),
            books,
        };
        let mut entries = Entries::new(visitor, seed);
        scan(input, control, &mut entries)?;
        let found = entries.inner;
        let mut joined = Vec::with_capacity(LEDGERS);
        for book in found.books {
            let mut matched = Sorter::new(Prefer::Last, spill.clone());
            let mut nearest = Arc::new(book.nearest.seal()?).records();
            while let Some(record) = nearest.next()? {
                if let Some(line) = book.loose.get(record.key)? {
                    let key = (record.value, 0);
                    matched.add(Record { key, ..line })?;
                }
            }
            let (keyed, matched) = (book.keyed, matched.seal()?);
            joined.push(Book { keyed, matched });
        }
        Ok(JoinedLedgers {
            seed,
            bases: found.bases.seal()?,
            books: joined,
        })
    }
}

struct Ahead {
    keyed: Sorted,
    loose: Arc<Sorted>,
    /// By line, the entry that began nearest to its start.
    nearest: Sorter,
}

struct LookAhead {
    seed: u64,
    bases: Sorter,
    books: Vec<Ahead>,
}

impl EntryVisitor for LookAhead {
    fn entry(&mut self, entry: &Entry, chunk: &Chunk<'_>) -> Result<()> {
        let key = entry.key(chunk);
        if !is_listed(entry, &key) {
            return Ok(());
        }
        let (parsed, session) = (&key.parsed, entry.fields.session_id.as_str());
        if parsed.kind == KeyKind::CronBase {
            return self.bases.add(Record {
                key: (job_hash(self.seed, parsed), 0),
                weight: 0,
                value: fingerprint(self.seed, session.as_bytes()),
            });
        }
        let (KeyKind::CronRun, Some(updated)) = (parsed.kind, entry.fields.updated_ms) else {
            return Ok(());
        };
        for book in &mut self.books {
            if book.loose.is_empty() {
                continue;
            }
            let job = fingerprint(self.seed, parsed.job.as_bytes());
            let line = book.loose.at_or_before((job, updated))?;
            let Some(line) = line.filter(|line| updated <= line.weight) else {
                continue;
            };
            if book
                .keyed
                .get((pair(self.seed, key.text, session), 0))?
                .is_none()
            {
                book.nearest.add(Record {
                    key: line.key,
                    weight: updated.saturating_sub(line.key.1),
                    value: key.fingerprint,
                })?;
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Book {
    keyed: Sorted,
    matched: Sorted,
}

/// How a ledger's line was found to be about an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// By its session key.
    Key,
    /// By job and time.
    Time,
}

/// What the ledgers know about the entries of one store.
#[derive(Debug)]
pub struct JoinedLedgers {
    seed: u64,
    bases: Sorted,
    books: Vec<Book>,
}

impl JoinedLedgers {
    /// Returns the seed that key fingerprints must be made with.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Says whether the base entry of a cron run's job still names its session; `None` where
    /// there is no base entry.
    ///
    /// # Errors
    ///
    /// As [`Sorted::get`].
    pub fn is_current(&self, entry: &Entry, key: &Key<'_>) -> Result<Option<bool>> {
        if key.parsed.kind != KeyKind::CronRun {
            return Ok(None);
        }
        let base = self.bases.get((job_hash(self.seed, &key.parsed), 0))?;
        let session = fingerprint(self.seed, entry.fields.session_id.as_bytes());
        Ok(base.map(|base| base.value == session))
    }

    /// Finds how an entry's run ended, as one ledger says.
    ///
    /// # Errors
    ///
    /// As [`Sorted::get`].
    pub fn find(
        &self,
        ledger: usize,
        entry: &Entry,
        key: &Key<'_>,
    ) -> Result<Option<(RunEnd, How)>> {
        let Some(book) = self.books.get(ledger) else {
            return Ok(None);
        };
        if book.keyed.is_empty() && book.matched.is_empty() {
            return Ok(None);
        }
        // A base entry is its newest run: ledgers know only the run's own key.
        let session = entry.fields.session_id.as_str();
        let run =
            (key.parsed.kind == KeyKind::CronBase).then(|| format!("{}:run:{session}", key.text));
        let text = run.as_deref().unwrap_or(key.text);
        if let Some(line) = book.keyed.get((pair(self.seed, text, session), 0))? {
            return Ok(Some((RunEnd::of_record(line), How::Key)));
        }
        let line = book
            .matched
            .get((fingerprint(self.seed, text.as_bytes()), 0))?;
        Ok(line.map(|line| (RunEnd::of_record(line), How::Time)))
    }
}
