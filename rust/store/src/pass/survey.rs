//! Measures a store, judges every entry, and finds the thresholds that a rewrite needs.

use crate::bytes::lex::{Chunk, Lexer};
use crate::entry::key::KeyKind;
use crate::entry::{Entries, Entry, EntryVisitor, Status};
use crate::input::error::Result;
use crate::input::io::{Control, ReadAt};
use crate::input::limits::{FIELDS, INLINE_BYTES, NAME_BYTES};
use crate::judge::evidence::Evidence;
use crate::judge::job_table::{count_status, JobTable};
use crate::judge::policy::{judge, Judged, Policy, Rule, Verdict};
use crate::pass::duplicates::{find_duplicate, Duplicate, Sieve};
use crate::pass::scan::{check, scan, Scanned};
use crate::write::edits::{edits, shrinkage, signed, Cut, Cutter};
use serde::Serialize;
use std::collections::HashMap;

/// A name with entries and bytes.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Tally {
    /// What is counted.
    pub name: String,
    /// How many entries.
    pub entries: u64,
    /// How many bytes; for rules, what leaves the store.
    pub bytes: i64,
}

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

/// Counts by rule.
#[derive(Debug, Default)]
pub(crate) struct RuleCount {
    counts: [(u64, i64); Rule::ALL.len()],
}

impl RuleCount {
    pub(crate) fn add(&mut self, rule: Rule, bytes: i64) {
        if let Some(at) = Rule::ALL.iter().position(|one| *one == rule) {
            self.counts[at].0 += 1;
            self.counts[at].1 += bytes;
        }
    }

    /// Counts an edit; its bytes go to the first rule that applies.
    pub(crate) fn add_edit(&mut self, verdict: Verdict, bytes: i64) {
        if let Verdict::Edit { slim, retire } = verdict {
            if slim {
                self.add(Rule::Slim, bytes);
            }
            if retire.is_some() {
                self.add(Rule::Retire, if slim { 0 } else { bytes });
            }
        }
    }

    pub(crate) fn tallies(&self) -> Vec<Tally> {
        Rule::ALL
            .iter()
            .zip(self.counts)
            .filter(|(_, (entries, _))| *entries > 0)
            .map(|(rule, (entries, bytes))| Tally {
                name: rule.name().to_owned(),
                entries,
                bytes,
            })
            .collect()
    }
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
        Some(sieve) => find_duplicate(input, seed, control, first.entries, sieve)?,
        None => None,
    };

    if policy.cap_per_job.is_some() || policy.cap_total.is_some() || first.jobs.has_rivals() {
        let pass = Pass::new(input, policy, evidence, Some(&first.jobs), None);
        let mut entries = Entries::new(pass, seed);
        check(Lexer::new(), input, control, &mut entries)?;
        first.totals = entries.inner.totals;
    }
    Ok(Survey {
        numbers: first.numbers(scanned, duplicate),
        jobs: first.jobs,
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
    jobs: JobTable,
    cutter: Cutter,
    pending: Option<Rule>,
    totals: Totals,
    entries: u64,
    kinds: [(u64, i64); KeyKind::ALL.len()],
    /// Of these, what says "running".
    running: [(u64, i64); KeyKind::ALL.len()],
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
            jobs: JobTable::default(),
            cutter: Cutter::default(),
            pending: None,
            totals: Totals::default(),
            entries: 0,
            kinds: Default::default(),
            running: Default::default(),
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
        let mut fields: Vec<Tally> = self
            .fields
            .iter()
            .map(|(name, count)| tally(String::from_utf8_lossy(name).into_owned(), *count))
            .collect();
        if self.other_fields.0 > 0 {
            fields.push(tally("(further names)".to_owned(), self.other_fields));
        }
        let by_kind = |counts: [(u64, i64); KeyKind::ALL.len()]| -> Vec<Tally> {
            let met = KeyKind::ALL.iter().zip(counts);
            met.filter(|(_, count)| count.0 > 0)
                .map(|(kind, count)| tally(kind.name().to_owned(), count))
                .collect()
        };
        let (mut kinds, mut running) = (by_kind(self.kinds), by_kind(self.running));
        for list in [&mut fields, &mut kinds, &mut running] {
            list.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
        }
        let mut jobs: Vec<JobNumbers> = self
            .jobs
            .all()
            .iter()
            .map(|job| JobNumbers {
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
            })
            .collect();
        jobs.sort_by_key(|job| std::cmp::Reverse(job.bytes));
        SurveyNumbers {
            bytes: scanned.bytes,
            entries: self.entries,
            digest: scanned.digest,
            wide: scanned.wide,
            kinds,
            running,
            fields,
            jobs,
            jobs_untracked: self.jobs.untracked,
            duplicate,
            rules: self.totals.rules.tallies(),
            entries_after: self.entries - self.totals.dropped,
            bytes_after: scanned.bytes.saturating_add_signed(-self.totals.freed),
        }
    }
}

fn tally(name: String, (entries, bytes): (u64, i64)) -> Tally {
    Tally {
        name,
        entries,
        bytes,
    }
}

impl EntryVisitor for Pass<'_> {
    fn entry(&mut self, entry: &Entry, chunk: &Chunk<'_>) -> Result<()> {
        let key = entry.key(chunk);
        let parsed = &key.parsed;
        let Judged {
            verdict,
            in_flight,
            cappable,
            rank,
            job,
        } = judge(self.policy, self.evidence, self.thresholds, entry, &key)?;
        let completed = self.cutter.entry_starts(entry.span.start);
        let rule = self.pending.take();
        self.count_cut(rule, completed);
        if let Verdict::Drop(rule) = verdict {
            let cut = self.cutter.remove(entry.span);
            if cut.is_none() {
                self.pending = Some(rule);
            }
            self.count_cut(Some(rule), cut);
        } else {
            self.cutter.keep(entry.span);
            let freed = shrinkage(&edits(self.input, entry, verdict)?);
            self.totals.rules.add_edit(verdict, freed);
            self.totals.freed += freed;
        }
        self.entries += 1;
        if self.thresholds.is_some() {
            return Ok(());
        }

        let bytes = entry.span.len();
        if let Some(at) = KeyKind::ALL.iter().position(|kind| *kind == parsed.kind) {
            self.kinds[at].0 += 1;
            self.kinds[at].1 += signed(bytes);
            if entry.status() == Status::Running {
                self.running[at].0 += 1;
                self.running[at].1 += signed(bytes);
            }
        }
        if parsed.kind == KeyKind::CronRun {
            if let Some(slot) = self.jobs.slot(job, parsed.agent, parsed.job) {
                slot.runs += 1;
                slot.bytes += bytes;
                count_status(slot, entry.status());
                if let Some(at) = entry.updated_at {
                    slot.first_ms = Some(slot.first_ms.map_or(at, |first| first.min(at)));
                    slot.last_ms = slot.last_ms.max(Some(at));
                }
            }
            if in_flight {
                self.jobs.note_in_flight(job, rank);
            }
            if cappable {
                let (per_job, total) = (self.policy.cap_per_job, self.policy.cap_total);
                self.jobs.note_cappable(job, rank, per_job, total);
            }
        }
        if let Some(sieve) = &mut self.sieve {
            if entry.span.end >= INLINE_BYTES {
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
