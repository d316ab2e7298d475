//! Measures a store, judges every entry, and finds the thresholds that a rewrite needs.

use crate::bytes::lex::{Chunk, Lexer};
use crate::entry::{Entries, Entry, EntryVisitor};
use crate::input::error::Result;
use crate::input::io::{Control, ReadAt};
use crate::input::limits::{FIELDS, INLINE_BYTES, NAME_BYTES};
use crate::judge::census::{signed, sorted, Census, JobNumbers};
use crate::judge::evidence::Evidence;
use crate::judge::job_table::JobTable;
use crate::judge::policy::{Policy, Rule};
use crate::judge::tally::{RuleCount, Tally};
use crate::judge::verdict::{judge, Rank, Verdict};
use crate::pass::duplicates::{find_duplicate, Duplicate, Sieve};
use crate::pass::scan::{check, scan, Scanned};
use crate::write::edits::{edits, shrinkage, Cut, Cutter};
use serde::Serialize;

/// What a survey found; serialises to what Python reads.
#[derive(Debug, Clone, Serialize)]
pub struct SurveyNumbers {
    /// Size of the store.
    pub bytes: u64,
    /// Its entries.
    pub entries: u64,
    /// XXH3-128 in hex.
    pub digest: String,
    /// Text outside Latin-1 was seen.
    pub wide: bool,
    /// By kind of key, largest first.
    pub kinds: Vec<Tally>,
    /// What says "running", by kind of key.
    pub running: Vec<Tally>,
    /// By top-level field, largest first.
    pub fields: Vec<Tally>,
    /// By cron job, largest first.
    pub jobs: Vec<JobNumbers>,
    /// Run entries of jobs beyond the table.
    pub jobs_untracked: u64,
    /// A key that occurs twice.
    pub duplicate: Option<Duplicate>,
    /// What each rule would do.
    pub rules: Vec<Tally>,
    /// Entries that would stay.
    pub entries_after: u64,
    /// Bytes that would stay.
    pub bytes_after: u64,
}

/// A finished survey: its numbers, and the thresholds by which a rewrite judges again.
#[derive(Debug)]
pub struct Survey {
    /// What was found.
    pub numbers: SurveyNumbers,
    /// Thresholds of single flight and caps.
    pub jobs: JobTable,
}

/// Surveys a store.
///
/// # Errors
///
/// As [`scan`].
///
/// # Memory
///
/// O(1). A store with more keys than the fingerprint table holds (about 1.7 million) is read once
/// more for each table-full; one with rivals or caps once more.
pub fn survey(
    input: &dyn ReadAt,
    policy: &Policy,
    evidence: &Evidence,
    control: &Control,
) -> Result<Survey> {
    let seed = evidence.seed();
    let pass = Pass::new(input, policy, evidence, None, Some(Sieve::new()));
    let mut entries = Entries::new(pass, seed);
    let scanned = scan(input, control, &mut entries)?;
    let mut first = entries.inner;
    let duplicate = match first.sieve.take() {
        Some(sieve) => find_duplicate(input, seed, control, first.census.entries, sieve)?,
        None => None,
    };

    if policy.cap_per_job.is_some() || policy.cap_total.is_some() || first.census.jobs.has_rivals()
    {
        let pass = Pass::new(input, policy, evidence, Some(&first.census.jobs), None);
        let mut entries = Entries::new(pass, seed);
        check(Lexer::new(), input, control, &mut entries)?;
        first.totals = entries.inner.totals;
    }
    Ok(Survey {
        numbers: first.numbers(scanned, duplicate),
        jobs: first.census.jobs,
    })
}

#[derive(Debug, Default)]
struct Totals {
    rules: RuleCount,
    dropped: u64,
    freed: i64,
}

struct Pass<'a> {
    input: &'a dyn ReadAt,
    policy: &'a Policy,
    evidence: &'a Evidence,
    /// Thresholds to judge by; the pass that gathers them has none.
    thresholds: Option<&'a JobTable>,
    census: Census,
    cutter: Cutter,
    pending: Option<Rule>,
    totals: Totals,
    /// By name, in the order in which they were met.
    fields: Vec<(Vec<u8>, (u64, i64))>,
    /// The one that comes next if this entry is like those before.
    next_field: usize,
    other_fields: (u64, i64),
    sieve: Option<Sieve>,
}

impl<'a> Pass<'a> {
    fn new(
        input: &'a dyn ReadAt,
        policy: &'a Policy,
        evidence: &'a Evidence,
        thresholds: Option<&'a JobTable>,
        sieve: Option<Sieve>,
    ) -> Self {
        Self {
            input,
            policy,
            evidence,
            thresholds,
            census: Census::default(),
            cutter: Cutter::default(),
            pending: None,
            totals: Totals::default(),
            fields: Vec::new(),
            next_field: 0,
            other_fields: (0, 0),
            sieve,
        }
    }

    fn count_cut(&mut self, rule: Option<Rule>, cut: Option<Cut>) {
        if let (Some(rule), Some(cut)) = (rule, cut) {
            let bytes = signed(cut.range.len());
            self.totals.rules.add(rule, bytes);
            self.totals.dropped += 1;
            self.totals.freed += bytes;
        }
    }

    fn numbers(&self, scanned: Scanned, duplicate: Option<Duplicate>) -> SurveyNumbers {
        let names = self
            .fields
            .iter()
            .map(|(name, count)| Tally::new(String::from_utf8_lossy(name).into_owned(), *count));
        let others = Some(self.other_fields).filter(|(entries, _)| *entries > 0);
        let others = others.map(|count| Tally::new("(further names)".to_owned(), count));
        let (kinds, running) = self.census.kinds();
        SurveyNumbers {
            bytes: scanned.bytes,
            entries: self.census.entries,
            digest: scanned.digest,
            wide: scanned.wide,
            kinds,
            running,
            fields: sorted(names.chain(others)),
            jobs: self.census.job_numbers(),
            jobs_untracked: self.census.jobs.untracked,
            duplicate,
            rules: self.totals.rules.tallies(),
            entries_after: self.census.entries - self.totals.dropped,
            bytes_after: scanned.bytes.saturating_add_signed(-self.totals.freed),
        }
    }
}

impl EntryVisitor for Pass<'_> {
    fn entry(&mut self, entry: &Entry, chunk: &Chunk<'_>) -> Result<()> {
        let key = entry.key(chunk);
        let facts = entry.facts(&key);
        let rank = Rank::of(&facts, entry.places.span.start);
        let judged = judge(self.policy, self.evidence, self.thresholds, &facts, rank)?;
        let verdict = judged.verdict;
        let completed = self.cutter.entry_starts(entry.places.span.start);
        let rule = self.pending.take();
        self.count_cut(rule, completed);
        if let Verdict::Drop(rule) = verdict {
            let cut = self.cutter.remove(entry.places.span);
            if cut.is_none() {
                self.pending = Some(rule);
            }
            self.count_cut(Some(rule), cut);
        } else {
            self.cutter.keep(entry.places.span);
            let freed = shrinkage(&edits(self.input, entry, verdict)?);
            self.totals.rules.add_edit(verdict, freed);
            self.totals.freed += freed;
        }
        if self.thresholds.is_some() {
            return Ok(());
        }

        self.census.add(self.policy, &facts, &judged, rank);
        if let Some(sieve) = &mut self.sieve {
            if entry.places.span.end >= INLINE_BYTES {
                sieve.take_memory();
            }
            sieve.add(key.fingerprint);
        }
        Ok(())
    }

    fn field(&mut self, name: &[u8], bytes: u64) {
        if self.thresholds.is_some() {
            return;
        }
        // Entries have their fields in much the same order.
        let is_it = |at: &usize| self.fields.get(*at).is_some_and(|(known, _)| known == name);
        let mut found = Some(self.next_field).filter(is_it);
        if found.is_none() {
            found = (0..self.fields.len()).find(is_it);
        }
        if found.is_none() && self.fields.len() < FIELDS && name.len() <= NAME_BYTES {
            self.fields.push((name.to_vec(), (0, 0)));
            found = Some(self.fields.len() - 1);
        }
        let count = match found {
            Some(at) => {
                self.next_field = at + 1;
                &mut self.fields[at].1
            }
            None => &mut self.other_fields,
        };
        count.0 += 1;
        count.1 += signed(bytes);
    }

    fn root_end(&mut self, _: u64) -> Result<()> {
        let completed = self.cutter.finish();
        let rule = self.pending.take();
        self.count_cut(rule, completed);
        Ok(())
    }
}
