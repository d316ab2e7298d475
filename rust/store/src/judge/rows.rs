//! Judges the rows of a database as a survey and a rewrite judge the entries of a store.
//!
//! Two passes over the same rows in the same order, as for a store: [`RowCensus`] counts them and
//! gathers the thresholds of single flight and caps, [`RowJudge`] says of each what becomes of it.

use crate::entry::{Facts, Fields, Key, Status};
use crate::input::error::{Error, ErrorKind, Result};
use crate::input::limits::KEY_BYTES;
use crate::judge::census::{signed, Census, JobNumbers};
use crate::judge::evidence::Evidence;
use crate::judge::policy::Policy;
use crate::judge::tally::{RuleCount, Tally};
use crate::judge::verdict::{judge, Rank, Verdict};
use serde::Serialize;

/// One entry of a database. Its kind and its job are told from the key.
#[derive(Debug, Clone, Copy, Default)]
pub struct Row<'a> {
    /// The session key.
    pub key: &'a str,
    /// Its session; empty for none.
    pub session_id: &'a str,
    /// When it was updated.
    pub updated_ms: Option<i64>,
    /// When its session began.
    pub started_ms: Option<i64>,
    /// When its session ended, as the row says.
    pub ended_ms: Option<i64>,
    /// `status` as the row has it; `None` for none.
    pub status: Option<&'a str>,
    /// A person chose something for this session.
    pub has_override: bool,
    /// A column does not hold what it should: the row is not judged by what it says.
    pub is_odd: bool,
    /// Size of the fields that the gateway rebuilds; 0 where there are none.
    pub bulk_bytes: u64,
    /// Size of the row.
    pub bytes: u64,
}

/// What the rows of a database hold, and what a policy leaves; serialises to what Python reads.
#[derive(Debug, Clone, Serialize)]
pub struct RowNumbers {
    /// Size of all rows.
    pub bytes: u64,
    /// How many there are.
    pub entries: u64,
    /// By kind of key, largest first.
    pub kinds: Vec<Tally>,
    /// What says "running", by kind of key.
    pub running: Vec<Tally>,
    /// By cron job, largest first.
    pub jobs: Vec<JobNumbers>,
    /// Run entries of jobs beyond the table.
    pub jobs_untracked: u64,
    /// What each rule does.
    pub rules: Vec<Tally>,
    /// Rows that stay.
    pub entries_after: u64,
    /// Bytes that stay.
    pub bytes_after: u64,
}

/// What a pass saw of the rows, for comparison with the other pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    rows: u64,
    bytes: u64,
    digest: u64,
}

impl Seen {
    /// Notes a row; returns its number.
    fn note(&mut self, facts: &Facts<'_>) -> u64 {
        let position = self.rows;
        self.rows += 1;
        self.bytes = self.bytes.saturating_add(facts.bytes);
        for word in [
            facts.key.fingerprint,
            facts.seen_ms().map_or(1, i64::cast_unsigned),
            facts.bytes << 8 | facts.fields.status as u64,
        ] {
            let mixed = (self.digest.rotate_left(23) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            self.digest = mixed ^ mixed >> 32;
        }
        position
    }
}

/// Reads a row into `fields`, which keep their memory from one row to the next.
fn read<'a>(fields: &'a mut Fields, key: &'a Key<'a>, row: &Row<'_>) -> Facts<'a> {
    let is_long = row.session_id.len() > KEY_BYTES;
    fields.session_id.clear();
    if !is_long {
        fields.session_id.push_str(row.session_id);
    }
    fields.is_object = true;
    fields.is_odd = row.is_odd || is_long;
    fields.has_override = row.has_override;
    (fields.updated_ms, fields.started_ms) = (row.updated_ms, row.started_ms);
    fields.ended_ms = row.ended_ms;
    fields.status = row.status.map_or(Status::Absent, |status| {
        Status::from_text(status.as_bytes())
    });
    Facts {
        key,
        fields,
        has_bulk: row.bulk_bytes > 0,
        bytes: row.bytes,
    }
}

/// The first pass: counts the rows and gathers the thresholds.
///
/// # Memory
///
/// O(1): that of a [`Census`].
#[derive(Debug)]
pub struct RowCensus {
    policy: Policy,
    census: Census,
    seen: Seen,
    fields: Fields,
}

impl RowCensus {
    /// Makes one that has seen no row.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            census: Census::default(),
            seen: Seen::default(),
            fields: Fields::default(),
        }
    }

    /// Takes the next row.
    ///
    /// # Errors
    ///
    /// As [`judge`].
    pub fn offer(&mut self, evidence: &Evidence, row: &Row<'_>) -> Result<()> {
        let key = Key::of_text(evidence.seed(), row.key);
        let facts = read(&mut self.fields, &key, row);
        let rank = Rank::of(&facts, self.seen.note(&facts));
        let judged = judge(&self.policy, evidence, None, &facts, rank)?;
        self.census.add(&self.policy, &facts, &judged, rank);
        Ok(())
    }

    /// Ends the first pass.
    #[must_use]
    pub fn seal(self) -> RowJudge {
        RowJudge {
            policy: self.policy,
            census: self.census,
            offered: self.seen,
            seen: Seen::default(),
            fields: self.fields,
            rules: RuleCount::default(),
            dropped: 0,
            freed: 0,
        }
    }
}

/// The second pass: says of each row what becomes of it.
#[derive(Debug)]
pub struct RowJudge {
    policy: Policy,
    census: Census,
    offered: Seen,
    seen: Seen,
    fields: Fields,
    rules: RuleCount,
    dropped: u64,
    freed: i64,
}

impl RowJudge {
    /// Judges the next row.
    ///
    /// # Errors
    ///
    /// As [`judge`].
    pub fn judge(&mut self, evidence: &Evidence, row: &Row<'_>) -> Result<Verdict> {
        let key = Key::of_text(evidence.seed(), row.key);
        let facts = read(&mut self.fields, &key, row);
        let rank = Rank::of(&facts, self.seen.note(&facts));
        let thresholds = Some(&self.census.jobs);
        let verdict = judge(&self.policy, evidence, thresholds, &facts, rank)?.verdict;
        match verdict {
            Verdict::Keep => {}
            Verdict::Drop(rule) => {
                self.dropped += 1;
                self.freed += signed(row.bytes);
                self.rules.add(rule, signed(row.bytes));
            }
            Verdict::Edit { slim, .. } => {
                let freed = if slim { signed(row.bulk_bytes) } else { 0 };
                self.freed += freed;
                self.rules.add_edit(verdict, freed);
            }
        }
        Ok(verdict)
    }

    /// Ends the second pass.
    ///
    /// # Errors
    ///
    /// `Changed` when the rows judged are not those that were offered, in that order: thresholds
    /// of other rows may have dropped the wrong ones.
    pub fn finish(&self) -> Result<RowNumbers> {
        if self.seen != self.offered {
            return Err(Error::invalid(ErrorKind::Changed, 0));
        }
        let (kinds, running) = self.census.kinds();
        Ok(RowNumbers {
            bytes: self.seen.bytes,
            entries: self.seen.rows,
            kinds,
            running,
            jobs: self.census.job_numbers(),
            jobs_untracked: self.census.jobs.untracked,
            rules: self.rules.tallies(),
            entries_after: self.seen.rows - self.dropped,
            bytes_after: self.seen.bytes.saturating_add_signed(-self.freed),
        })
    }
}
