//! Judges one entry by its facts: which rule, if any, may change or remove it. A pure function of
//! values.

use crate::entry::fingerprint::fingerprint;
use crate::entry::key::{KeyKind, Parsed};
use crate::entry::{Facts, Status};
use crate::input::error::Result;
use crate::judge::evidence::Evidence;
use crate::judge::job_table::JobTable;
use crate::judge::policy::{Policy, Rule};
use crate::judge::run_ends::RunEnd;

/// A run without proof of an end is taken for possibly alive for this long, even where no
/// maximum lifetime is set. Source: the gateway's own default time-out of an agent turn, 60 min.
const PRESUMED_ALIVE_MS: i64 = 3_600_000;

/// What is to become of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The same bytes.
    Keep,
    /// Removed.
    Drop(Rule),
    /// Kept, with fields cut or set.
    Edit {
        /// Cut `skillsSnapshot` and `systemPromptReport`.
        slim: bool,
        /// Set status, end and run time.
        retire: Option<RunEnd>,
    },
}

impl Verdict {
    /// Returns the name of what is done, as the archive has it; `None` if the entry is kept as it is.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Keep => None,
            Self::Drop(rule) => Some(rule.name()),
            Self::Edit {
                slim: true,
                retire: Some(_),
            } => Some("retire+slim"),
            Self::Edit {
                retire: Some(_), ..
            } => Some(Rule::Retire.name()),
            Self::Edit { .. } => Some(Rule::Slim.name()),
        }
    }
}

/// Age order of entries: the later one is newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    seen_ms: i64,
    position: u64,
}

impl Rank {
    /// Ranks an entry. `position` breaks ties, and must be the same each time it is judged: its
    /// offset in the store, or its number among the rows.
    #[must_use]
    #[inline]
    pub fn of(facts: &Facts<'_>, position: u64) -> Self {
        Self {
            seen_ms: facts.seen_ms().unwrap_or(i64::MAX),
            position,
        }
    }
}

/// What the thresholds know of an entry: how it would fare without them.
#[derive(Debug, Clone, Copy)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// It says "running", may be alive, and competes for its job's single flight.
    pub in_flight: bool,
    /// It is finished and stays: caps count it.
    pub cappable: bool,
    /// Its job, hashed; meaningful for cron runs.
    pub job: u64,
}

/// Returns the group of a cron run.
#[must_use]
pub fn job_hash(seed: u64, parsed: &Parsed<'_>) -> u64 {
    fingerprint(seed, parsed.agent.as_bytes())
        .rotate_left(17)
        .wrapping_add(fingerprint(seed, parsed.job.as_bytes()))
}

/// Judges one entry; `thresholds` are `None` in the pass that gathers them.
///
/// # Errors
///
/// As [`KnownRunEnds::find`](crate::judge::run_ends::KnownRunEnds::find).
pub fn judge(
    policy: &Policy,
    evidence: &Evidence,
    thresholds: Option<&JobTable>,
    facts: &Facts<'_>,
    rank: Rank,
) -> Result<Judged> {
    let (key, seen) = (facts.key, facts.seen_ms());
    let parsed = &key.parsed;
    let job = if parsed.kind == KeyKind::CronRun {
        job_hash(evidence.seed(), parsed)
    } else {
        0
    };
    let mut judged = Judged {
        verdict: Verdict::Keep,
        in_flight: false,
        cappable: false,
        job,
    };

    let alive = evidence.is_live_session(&facts.fields.session_id)?
        || (parsed.run != facts.fields.session_id && evidence.is_live_session(parsed.run)?);
    if alive || key.is_odd || evidence.is_protected(key.fingerprint) {
        return Ok(judged);
    }
    if evidence.is_dropped(key.fingerprint) {
        judged.verdict = Verdict::Drop(Rule::Named);
        return Ok(judged);
    }
    let Some(seen) = seen else {
        return Ok(judged);
    };
    if !facts.fields.is_readable() {
        return Ok(judged);
    }
    let age = policy.now_ms.saturating_sub(seen);
    if parsed.kind != KeyKind::CronRun {
        let idle = policy.slim_idle_ms.is_some_and(|limit| age > limit);
        // These keys outlive their runs: only an end of this very session counts.
        let mut end = None;
        if policy.retire && facts.fields.status == Status::Running {
            end = evidence.end_of_session(key.text, &facts.fields.session_id)?;
        }
        judged.verdict = if is_dropped_kind(policy, facts, parsed.kind, end.is_some(), age) {
            Verdict::Drop(Rule::DropKind)
        } else {
            slimmed(facts, idle, end)
        };
        return Ok(judged);
    }
    let end = evidence.end_of(key.fingerprint)?;
    judge_run(policy, thresholds, facts, end, age, rank, &mut judged);
    Ok(judged)
}

/// Says whether the user named this kind, and the entry is old enough and at work no more.
fn is_dropped_kind(
    policy: &Policy,
    facts: &Facts<'_>,
    kind: KeyKind,
    has_ended: bool,
    age: i64,
) -> bool {
    let Some((_, limit)) = policy.drop_kinds.iter().find(|(named, _)| *named == kind) else {
        return false;
    };
    let seen = policy.now_ms.saturating_sub(age);
    let owner_died = policy.owner_died_before_ms;
    let finished = match facts.fields.status {
        Status::Running => has_ended || owner_died.is_some_and(|moment| seen < moment),
        Status::Done | Status::Failed | Status::Killed | Status::Timeout => true,
        _ => age > PRESUMED_ALIVE_MS,
    };
    finished && age > *limit
}

fn judge_run(
    policy: &Policy,
    thresholds: Option<&JobTable>,
    facts: &Facts<'_>,
    end: Option<RunEnd>,
    age: i64,
    rank: Rank,
    judged: &mut Judged,
) {
    let seen = policy.now_ms.saturating_sub(age);
    let owner_dead = policy
        .owner_died_before_ms
        .is_some_and(|moment| seen < moment);
    let running = facts.fields.status == Status::Running;
    let proven = end.is_some() || owner_dead;
    let lifetime = policy.max_lifetime_ms.unwrap_or(PRESUMED_ALIVE_MS);
    let since_end = end.map_or(age, |end| {
        policy.now_ms.saturating_sub(end.ended_at_ms).min(age)
    });

    // What may have ended, or may not have, in a record that was not read is kept as it is. What
    // lost its process has ended: age decides about it, but nobody says how.
    let untold = running && end.is_none() && !policy.knows_ends;
    if untold && !owner_dead {
        return;
    }
    let too_old = policy.max_lifetime_ms.is_some_and(|limit| age > limit);
    if running && end.is_none() && !untold && too_old {
        judged.verdict = Verdict::Drop(Rule::ForceExpire);
        return;
    }
    if policy.retention_ms.is_some_and(|limit| since_end > limit) && (proven || age > lifetime) {
        judged.verdict = Verdict::Drop(Rule::Expire);
        return;
    }
    if running && !proven {
        judged.in_flight = true;
        let newest = thresholds.and_then(|jobs| jobs.newest_in_flight(judged.job));
        if policy.single_flight && newest.is_some_and(|newest| rank < newest) {
            judged.verdict = Verdict::Drop(Rule::SingleFlight);
            return;
        }
    }
    let finished = proven || age > lifetime;
    if !finished || judged.in_flight {
        return;
    }
    judged.cappable = !facts.fields.has_override;
    if let Some(jobs) = thresholds.filter(|_| judged.cappable) {
        if policy.cap_per_job.is_some() && jobs.job_floor(judged.job).is_some_and(|f| rank < f) {
            judged.verdict = Verdict::Drop(Rule::CapPerJob);
            return;
        }
        if policy.cap_total.is_some() && jobs.total_floor().is_some_and(|f| rank < f) {
            judged.verdict = Verdict::Drop(Rule::CapTotal);
            return;
        }
    }
    let retire = if policy.retire && running && !untold {
        end.or_else(|| {
            policy
                .owner_died_before_ms
                .filter(|_| owner_dead)
                .map(|moment| RunEnd {
                    status: Status::Killed,
                    ended_at_ms: moment,
                    runtime_ms: moment
                        .saturating_sub(facts.fields.started_ms.unwrap_or(seen))
                        .max(0),
                })
        })
    } else {
        None
    };
    judged.verdict = slimmed(facts, policy.slim_runs && judged.cappable, retire);
}

fn slimmed(facts: &Facts<'_>, slim: bool, retire: Option<RunEnd>) -> Verdict {
    let slim = slim && facts.has_bulk;
    if slim || retire.is_some() {
        Verdict::Edit { slim, retire }
    } else {
        Verdict::Keep
    }
}
