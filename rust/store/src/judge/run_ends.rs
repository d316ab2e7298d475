//! How runs ended, as many as there are.

use crate::entry::fingerprint::fingerprint;
use crate::entry::Status;
use crate::external_sort::{Key, Prefer, Record, Sorted, Sorter, Spill};
use crate::input::error::Result;
use std::sync::Arc;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunEnd {
    /// A terminal status.
    pub status: Status,
    /// End, ms.
    pub ended_at_ms: i64,
    /// Length, ms; never negative.
    pub runtime_ms: i64,
}

impl RunEnd {
    pub(crate) fn record(self, key: Key) -> Record {
        let status = Status::ALL.iter().position(|one| *one == self.status);
        let status = status.unwrap_or(0) as u64;
        let runtime = u64::try_from(self.runtime_ms)
            .unwrap_or(0)
            .min(u64::MAX >> 4);
        Record {
            key,
            weight: self.ended_at_ms,
            value: runtime << 3 | status,
        }
    }

    pub(crate) fn of_record(record: Record) -> Self {
        let status = usize::try_from(record.value & 7).unwrap_or(0);
        Self {
            status: Status::ALL.get(status).copied().unwrap_or(Status::Other),
            ended_at_ms: record.weight,
            runtime_ms: i64::try_from(record.value >> 3).unwrap_or(i64::MAX),
        }
    }
}

/// Gathers the ends of runs, and the sessions that live. Of several ends of one run the latest counts.
///
/// # Memory
///
/// O(1): as a [`Sorter`].
#[derive(Debug)]
pub struct RunEnds {
    seed: u64,
    sorter: Sorter,
    has_living: bool,
}

impl RunEnds {
    /// Makes an empty one; `seed` should be random, so that no store can aim at the hashes.
    #[must_use]
    pub fn new(seed: u64, spill: Option<Arc<Spill>>) -> Self {
        Self {
            seed,
            sorter: Sorter::new(Prefer::Heaviest, spill),
            has_living: false,
        }
    }

    /// Notes how the run under `key` ended.
    ///
    /// # Errors
    ///
    /// As [`Sorter::add`].
    pub fn add(&mut self, key: &str, over: RunEnd) -> Result<()> {
        let hash = fingerprint(self.seed, key.as_bytes());
        self.sorter.add(over.record((hash, 0)))
    }

    /// Notes how the run of `session` ended, under a key that other sessions use after it.
    ///
    /// Such a key is a base entry's, a sub-agent's or a chat's.
    ///
    /// # Errors
    ///
    /// As [`Sorter::add`].
    pub fn add_session(&mut self, key: &str, session: &str, over: RunEnd) -> Result<()> {
        self.sorter
            .add(over.record((pair(self.seed, key, session), 0)))
    }

    /// Notes proof of life of a session: no entry that has it is touched.
    ///
    /// # Errors
    ///
    /// As [`Sorter::add`].
    pub fn keep(&mut self, session: &str) -> Result<()> {
        self.has_living = true;
        let key = (living(self.seed, session), 0);
        self.sorter.add(Record {
            key,
            weight: 0,
            value: 0,
        })
    }

    /// Ends the gathering.
    ///
    /// # Errors
    ///
    /// As [`Sorter::add`].
    pub fn seal(self) -> Result<KnownRunEnds> {
        Ok(KnownRunEnds {
            seed: self.seed,
            has_living: self.has_living,
            sorted: self.sorter.seal()?,
        })
    }
}

/// The ends of runs, to be looked up.
#[derive(Debug)]
pub struct KnownRunEnds {
    seed: u64,
    has_living: bool,
    sorted: Sorted,
}

impl KnownRunEnds {
    /// Returns none.
    #[must_use]
    pub fn none(seed: u64) -> Self {
        Self {
            seed,
            has_living: false,
            sorted: Sorted::empty(),
        }
    }

    /// Returns the seed that fingerprints must be made with.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Finds the end of the run under the key with this fingerprint.
    ///
    /// # Errors
    ///
    /// As [`Sorted::get`].
    pub fn find(&self, key: u64) -> Result<Option<RunEnd>> {
        Ok(self.sorted.get((key, 0))?.map(RunEnd::of_record))
    }

    /// Finds the end of the run under a key.
    ///
    /// # Errors
    ///
    /// As [`Sorted::get`].
    pub fn find_key(&self, key: &str) -> Result<Option<RunEnd>> {
        self.find(fingerprint(self.seed, key.as_bytes()))
    }

    /// Finds the end of one session's run under a key.
    ///
    /// # Errors
    ///
    /// As [`Sorted::get`].
    pub fn find_session(&self, key: &str, session: &str) -> Result<Option<RunEnd>> {
        if self.sorted.is_empty() || session.is_empty() {
            return Ok(None);
        }
        self.find(pair(self.seed, key, session))
    }
    /// Says whether a session lives.
    ///
    /// # Errors
    ///
    /// As [`Sorted::get`].
    pub fn is_living(&self, session: &str) -> Result<bool> {
        Ok(self.has_living && self.find(living(self.seed, session))?.is_some())
    }
}

/// Fingerprints a session that lives; another seed keeps it apart from keys.
fn living(seed: u64, session: &str) -> u64 {
    fingerprint(seed.wrapping_add(2), session.as_bytes())
}

/// Fingerprints a key together with a session; another seed keeps it apart from plain keys.
pub(crate) fn pair(seed: u64, key: &str, session: &str) -> u64 {
    let inner = fingerprint(seed, session.as_bytes());
    fingerprint(seed.wrapping_add(1) ^ inner, key.as_bytes())
}
