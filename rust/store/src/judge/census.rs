//! Counts entries by kind and job, and gathers the thresholds of single flight and caps.

use crate::entry::key::KeyKind;
use crate::entry::{Facts, Status};
use crate::judge::job_table::{count_status, JobTable};
use crate::judge::policy::Policy;
use crate::judge::tally::Tally;
use crate::judge::verdict::{Judged, Rank};
use serde::Serialize;
use std::collections::HashMap;

/// One job's numbers.
#[derive(Debug, Clone, Serialize)]
pub struct JobNumbers {
    agent: String,
    job: String,
    runs: u64,
    bytes: u64,
    first_ms: Option<i64>,
    last_ms: Option<i64>,
    status: HashMap<&'static str, u64>,
}

/// What is counted of all entries of a store, or rows of a database, in the pass that judges them
/// without thresholds.
///
/// # Memory
///
/// O(1): that of a [`JobTable`].
#[derive(Debug, Default)]
pub struct Census {
    pub(crate) entries: u64,
    pub(crate) jobs: JobTable,
    kinds: [(u64, i64); KeyKind::ALL.len()],
    /// Of these, what says "running".
    running: [(u64, i64); KeyKind::ALL.len()],
}

impl Census {
    /// Counts an entry, and offers it to the thresholds.
    #[inline]
    pub(crate) fn add(&mut self, policy: &Policy, facts: &Facts<'_>, judged: &Judged, rank: Rank) {
        self.entries += 1;
        let parsed = &facts.key.parsed;
        let (bytes, status) = (facts.bytes, facts.fields.status);
        if let Some(at) = KeyKind::ALL.iter().position(|kind| *kind == parsed.kind) {
            self.kinds[at].0 += 1;
            self.kinds[at].1 += signed(bytes);
            if status == Status::Running {
                self.running[at].0 += 1;
                self.running[at].1 += signed(bytes);
            }
        }
        if parsed.kind != KeyKind::CronRun {
            return;
        }
        if let Some(slot) = self.jobs.slot(judged.job, parsed.agent, parsed.job) {
            slot.runs += 1;
            slot.bytes += bytes;
            count_status(slot, status);
            if let Some(at) = facts.fields.updated_ms {
                slot.first_ms = Some(slot.first_ms.map_or(at, |first| first.min(at)));
                slot.last_ms = slot.last_ms.max(Some(at));
            }
        }
        if judged.in_flight {
            self.jobs.note_in_flight(judged.job, rank);
        }
        if judged.cappable {
            let (per_job, total) = (policy.cap_per_job, policy.cap_total);
            self.jobs.note_cappable(judged.job, rank, per_job, total);
        }
    }

    /// Returns what was met by kind of key, and what of it says "running"; the largest first.
    pub(crate) fn kinds(&self) -> (Vec<Tally>, Vec<Tally>) {
        let tallies = |counts: [(u64, i64); KeyKind::ALL.len()]| {
            let met = KeyKind::ALL.iter().zip(counts);
            let met = met.filter(|(_, count)| count.0 > 0);
            sorted(met.map(|(kind, count)| Tally::new(kind.name().to_owned(), count)))
        };
        (tallies(self.kinds), tallies(self.running))
    }

    /// Returns each cron job's numbers, the largest first.
    pub(crate) fn job_numbers(&self) -> Vec<JobNumbers> {
        let numbers = self.jobs.all().iter().map(|job| JobNumbers {
            agent: job.agent.clone(),
            job: job.job.clone(),
            runs: job.runs,
            bytes: job.bytes,
            first_ms: job.first_ms,
            last_ms: job.last_ms,
            status: Status::ALL
                .iter()
                .zip(job.status)
                .filter(|(_, count)| *count > 0)
                .map(|(status, count)| (status.name(), count))
                .collect(),
        });
        let mut jobs: Vec<_> = numbers.collect();
        jobs.sort_by_key(|job| std::cmp::Reverse(job.bytes));
        jobs
    }
}

/// Sorts tallies: the largest first, and equals by name.
pub(crate) fn sorted(tallies: impl Iterator<Item = Tally>) -> Vec<Tally> {
    let mut tallies: Vec<_> = tallies.collect();
    tallies.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    tallies
}

/// Returns a file offset or size as a signed number; files end long before 2^63.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
