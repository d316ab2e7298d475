//! Which entry may be changed or removed, and by which rule. A pure function of values.

use crate::entry::key::{fingerprint, KeyKind, Parsed};
use crate::entry::{Entry, Key, Status};
use crate::input::error::Result;
use crate::judge::evidence::Evidence;
use crate::judge::job_table::JobTable;
use crate::judge::run_ends::RunEnd;

/// The compiled policy. `None` turns a rule off; times are ms.
#[derive(Debug, Clone)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a rule that is on or off"
)]
pub struct Policy {
    /// The moment of judgement.
    pub now_ms: i64,
    /// Cut the big fields of cron runs that are over.
    pub slim_runs: bool,
    /// Cut them from whatever is no cron run and idle for longer than this.
    pub slim_idle_ms: Option<i64>,
    /// Set the end of entries that say "running" and are proven over.
    pub retire: bool,
    /// Drop finished cron runs older than this.
    pub retention_ms: Option<i64>,
    /// Drop "running" cron runs older than this without proof of life or of an end.
    pub max_lifetime_ms: Option<i64>,
    /// Keep only the newest "running" entry of a job.
    pub single_flight: bool,
    /// Keep the newest N finished runs of each job.
    pub cap_per_job: Option<usize>,
    /// Keep the newest N finished runs in all.
    pub cap_total: Option<usize>,
    /// Drop finished entries of these kinds, each older than its time: what the user named.
    pub drop_kinds: Vec<(KeyKind, i64)>,
    /// Whatever ran before this moment has lost its process.
    pub owner_died_before_ms: Option<i64>,
    /// False: ends of runs may be on record where nobody could read them.
    pub knows_ends: bool,
}

/// A run without proof of an end is taken for possibly alive for this long, even where no
/// maximum lifetime is set. Source: the gateway's own default time-out of an agent turn, 60 min.
const PRESUMED_ALIVE_MS: i64 = 3_600_000;

/// The rules, from the least lossy to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Big fields cut that the gateway rebuilds.
    Slim,
    /// End set from the evidence.
    Retire,
    /// Finished and older than the retention.
    Expire,
    /// "Running" longer than any run may.
    ForceExpire,
    /// Not the newest "running" entry of its job.
    SingleFlight,
    /// Not among the newest of its job.
    CapPerJob,
    /// Not among the newest of all.
    CapTotal,
    /// Of a kind that the user named, and older than the user said.
    DropKind,
    /// Named by the user.
    Named,
}

impl Rule {
    /// All rules, in order.
    pub const ALL: [Self; 9] = [
        Self::Slim,
        Self::Retire,
        Self::Expire,
        Self::ForceExpire,
        Self::SingleFlight,
        Self::CapPerJob,
        Self::CapTotal,
        Self::DropKind,
        Self::Named,
    ];

    /// Returns the stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Slim => "slim",
            Self::Retire => "retire",
            Self::Expire => "expire",
            Self::ForceExpire => "force-expire",
            Self::SingleFlight => "single-flight",
            Self::CapPerJob => "cap-per-job",
            Self::CapTotal => "cap-total",
            Self::DropKind => "drop-kind",
            Self::Named => "named",
        }
    }
}

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

/// Age order of entries: the later one is newer; the offset breaks ties.
pub type Rank = (i64, u64);

/// What the thresholds know of an entry: how it would fare without them.
#[derive(Debug, Clone, Copy)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// It says "running", may be alive, and competes for its job's single flight.
    pub in_flight: bool,
    /// It is finished and stays: caps count it.
    pub cappable: bool,
    /// Its age order.
    pub rank: Rank,
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
    entry: &Entry,
    key: &Key<'_>,
) -> Result<Judged> {
    let parsed = &key.parsed;
    let seen = match (entry.updated_at, entry.started_at) {
        (Some(updated), Some(started)) => Some(updated.max(started)),
        (one, other) => one.or(other),
    };
    let rank = (seen.unwrap_or(i64::MAX), entry.span.start);
    let job = if parsed.kind == KeyKind::CronRun {
        job_hash(evidence.seed(), parsed)
    } else {
        0
    };
    let mut judged = Judged {
        verdict: Verdict::Keep,
        in_flight: false,
        cappable: false,
        rank,
        job,
    };

    let alive = evidence.is_live_session(&entry.session_id)?
        || (parsed.run != entry.session_id && evidence.is_live_session(parsed.run)?);
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
    if !entry.is_object || entry.odd {
        return Ok(judged);
    }
    let age = policy.now_ms.saturating_sub(seen);
    if parsed.kind != KeyKind::CronRun {
        let idle = policy.slim_idle_ms.is_some_and(|limit| age > limit);
        // These keys outlive their runs: only an end of this very session counts.
        let mut over = None;
        if policy.retire && entry.status() == Status::Running {
            over = evidence.over_session(key.text, &entry.session_id)?;
        }
        judged.verdict = if is_dropped_kind(policy, entry, parsed.kind, over.is_some(), age) {
            Verdict::Drop(Rule::DropKind)
        } else {
            slimmed(entry, idle, over)
        };
        return Ok(judged);
    }
    let over = evidence.over(key.fingerprint)?;
    judge_run(policy, thresholds, entry, over, age, &mut judged);
    Ok(judged)
}

/// Says whether the user named this kind, and the entry is old enough and at work no more.
fn is_dropped_kind(policy: &Policy, entry: &Entry, kind: KeyKind, over: bool, age: i64) -> bool {
    let Some((_, limit)) = policy.drop_kinds.iter().find(|(named, _)| *named == kind) else {
        return false;
    };
    let seen = policy.now_ms.saturating_sub(age);
    let owner_died = policy.owner_died_before_ms;
    let finished = match entry.status() {
        Status::Running => over || owner_died.is_some_and(|moment| seen < moment),
        Status::Done | Status::Failed | Status::Killed | Status::Timeout => true,
        _ => age > PRESUMED_ALIVE_MS,
    };
    finished && age > *limit
}

fn judge_run(
    policy: &Policy,
    thresholds: Option<&JobTable>,
    entry: &Entry,
    over: Option<RunEnd>,
    age: i64,
    judged: &mut Judged,
) {
    let seen = policy.now_ms.saturating_sub(age);
    let owner_dead = policy
        .owner_died_before_ms
        .is_some_and(|moment| seen < moment);
    let running = entry.status() == Status::Running;
    let proven = over.is_some() || owner_dead;
    let lifetime = policy.max_lifetime_ms.unwrap_or(PRESUMED_ALIVE_MS);
    let over_age = over.map_or(age, |over| {
        policy.now_ms.saturating_sub(over.ended_at_ms).min(age)
    });

    // What may have ended, or may not have, in a record that was not read is kept as it is. What
    // lost its process has ended: age decides about it, but nobody says how.
    let untold = running && over.is_none() && !policy.knows_ends;
    if untold && !owner_dead {
        return;
    }
    let too_old = policy.max_lifetime_ms.is_some_and(|limit| age > limit);
    if running && over.is_none() && !untold && too_old {
        judged.verdict = Verdict::Drop(Rule::ForceExpire);
        return;
    }
    if policy.retention_ms.is_some_and(|limit| over_age > limit) && (proven || age > lifetime) {
        judged.verdict = Verdict::Drop(Rule::Expire);
        return;
    }
    if running && !proven {
        judged.in_flight = true;
        let newest = thresholds.and_then(|jobs| jobs.newest_in_flight(judged.job));
        if policy.single_flight && newest.is_some_and(|newest| judged.rank < newest) {
            judged.verdict = Verdict::Drop(Rule::SingleFlight);
            return;
        }
    }
    let finished = proven || age > lifetime;
    if !finished || judged.in_flight {
        return;
    }
    judged.cappable = !entry.has_override;
    if let Some(jobs) = thresholds.filter(|_| judged.cappable) {
        if policy.cap_per_job.is_some()
            && jobs.job_floor(judged.job).is_some_and(|f| judged.rank < f)
        {
            judged.verdict = Verdict::Drop(Rule::CapPerJob);
            return;
        }
        if policy.cap_total.is_some() && jobs.total_floor().is_some_and(|f| judged.rank < f) {
            judged.verdict = Verdict::Drop(Rule::CapTotal);
            return;
        }
    }
    let retire = if policy.retire && running && !untold {
        over.or_else(|| {
            policy
                .owner_died_before_ms
                .filter(|_| owner_dead)
                .map(|moment| RunEnd {
                    status: Status::Killed,
                    ended_at_ms: moment,
                    runtime_ms: moment
                        .saturating_sub(entry.started_at.unwrap_or(seen))
                        .max(0),
                })
        })
    } else {
        None
    };
    judged.verdict = slimmed(entry, policy.slim_runs && judged.cappable, retire);
}

fn slimmed(entry: &Entry, slim: bool, retire: Option<RunEnd>) -> Verdict {
    let slim = slim && (entry.skills.is_some() || entry.report.is_some());
    if slim || retire.is_some() {
        Verdict::Edit { slim, retire }
    } else {
        Verdict::Keep
    }
}
