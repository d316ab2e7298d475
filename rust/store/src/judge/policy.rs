//! Policies and their rules, as values.

use crate::entry::key::KeyKind;

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
