//! A fixed table of jobs with their thresholds.

use crate::entry::Status;
use crate::input::limits::{JOBS, NAME_BYTES, RANKS};
use crate::judge::verdict::Rank;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// What one cron job has in the store.
#[derive(Debug, Default)]
pub struct Job {
    /// Agent id, cut to 64 bytes.
    pub agent: String,
    /// Job id, cut to 64 bytes.
    pub job: String,
    /// Run entries.
    pub runs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Earliest `updatedAt`.
    pub first_ms: Option<i64>,
    /// Latest `updatedAt`.
    pub last_ms: Option<i64>,
    /// Entries by status, in the order of [`Status::ALL`].
    pub status: [u64; 7],
    in_flight: u64,
    newest_in_flight: Option<Rank>,
    newest: BinaryHeap<Reverse<Rank>>,
    floor: Option<Rank>,
}

/// All jobs of a store, as many as fit.
#[derive(Debug, Default)]
pub struct JobTable {
    slots: Vec<Job>,
    by_hash: HashMap<u64, usize>,
    /// Run entries of jobs that did not fit.
    pub untracked: u64,
    ranks: usize,
    newest: BinaryHeap<Reverse<Rank>>,
    floor: Option<Rank>,
}

impl JobTable {
    /// Finds or makes the slot of a job; `None` when the table is full.
    pub fn slot(&mut self, hash: u64, agent: &str, job: &str) -> Option<&mut Job> {
        if let Some(&at) = self.by_hash.get(&hash) {
            return self.slots.get_mut(at);
        }
        if self.slots.len() == JOBS {
            self.untracked += 1;
            return None;
        }
        self.by_hash.insert(hash, self.slots.len());
        self.slots.push(Job {
            agent: short(agent),
            job: short(job),
            ..Job::default()
        });
        self.slots.last_mut()
    }

    /// Returns the jobs in order of first appearance.
    #[must_use]
    pub fn all(&self) -> &[Job] {
        &self.slots
    }

    /// Notes an entry that competes for its job's single flight.
    pub fn note_in_flight(&mut self, hash: u64, rank: Rank) {
        if let Some(slot) = self
            .by_hash
            .get(&hash)
            .and_then(|&at| self.slots.get_mut(at))
        {
            slot.in_flight += 1;
            slot.newest_in_flight = slot.newest_in_flight.max(Some(rank));
        }
    }

    /// Notes a finished entry for the caps. A job whose ranks do not fit is not capped.
    pub fn note_cappable(
        &mut self,
        hash: u64,
        rank: Rank,
        per_job: Option<usize>,
        total: Option<usize>,
    ) {
        if let Some(limit) = total {
            push(&mut self.newest, rank, limit, &mut self.floor);
        }
        if let (Some(limit), Some(&at)) = (per_job, self.by_hash.get(&hash)) {
            let Some(slot) = self.slots.get_mut(at) else {
                return;
            };
            if slot.newest.len() < limit {
                if self.ranks >= RANKS {
                    return;
                }
                self.ranks += 1;
            }
            push(&mut slot.newest, rank, limit, &mut slot.floor);
        }
    }

    /// Returns the newest entry in flight, if a job has several.
    #[must_use]
    pub fn newest_in_flight(&self, hash: u64) -> Option<Rank> {
        let slot = self.by_hash.get(&hash).and_then(|&at| self.slots.get(at))?;
        slot.newest_in_flight.filter(|_| slot.in_flight > 1)
    }

    /// Returns the oldest rank that the job's cap keeps, if the cap bites.
    #[must_use]
    pub fn job_floor(&self, hash: u64) -> Option<Rank> {
        self.by_hash
            .get(&hash)
            .and_then(|&at| self.slots.get(at))?
            .floor
    }

    /// Returns the oldest rank that the cap over all keeps, if the cap bites.
    #[must_use]
    pub fn total_floor(&self) -> Option<Rank> {
        self.floor
    }

    /// Says whether a job has more than one entry in flight.
    #[must_use]
    pub fn has_rivals(&self) -> bool {
        self.slots.iter().any(|slot| slot.in_flight > 1)
    }
}

/// Keeps the newest `limit` ranks; `floor` is the oldest of these once one had to go.
fn push(
    newest: &mut BinaryHeap<Reverse<Rank>>,
    rank: Rank,
    limit: usize,
    floor: &mut Option<Rank>,
) {
    newest.push(Reverse(rank));
    if newest.len() > limit {
        newest.pop();
        *floor = newest.peek().map(|oldest| oldest.0);
    }
}

fn short(text: &str) -> String {
    let mut end = text.len().min(NAME_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// Counts one status.
pub fn count_status(job: &mut Job, status: Status) {
    if let Some(at) = Status::ALL.iter().position(|one| *one == status) {
        job.status[at] += 1;
    }
}
