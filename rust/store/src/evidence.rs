//! What is known about single entries from outside the store.

use crate::entry::Status;
use crate::key::fingerprint;
use crate::limits::{NAMED, OVER_RUNS};
use std::collections::{HashMap, HashSet};

/// How a run ended, as its run log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over {
    /// A terminal status.
    pub status: Status,
    /// End, ms.
    pub ended_at_ms: i64,
    /// Length, ms.
    pub runtime_ms: i64,
}

/// Bounded tables of fingerprints, made with a secret seed so that no store can aim at them.
///
/// # Memory
///
/// O(1): at most [`OVER_RUNS`] and three times [`NAMED`] slots, about 6 MiB when all are full.
#[derive(Debug)]
pub struct Evidence {
    seed: u64,
    over: HashMap<u64, Over>,
    live_sessions: HashSet<u64>,
    protected: HashSet<u64>,
    dropped: HashSet<u64>,
}

impl Evidence {
    /// Makes an empty one; `seed` should be random.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            over: HashMap::new(),
            live_sessions: HashSet::new(),
            protected: HashSet::new(),
            dropped: HashSet::new(),
        }
    }

    /// Returns the seed that key fingerprints must be made with.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Notes that the run under `key` is over; false when the table is full.
    pub fn add_over(&mut self, key: &str, over: Over) -> bool {
        let hash = fingerprint(self.seed, key.as_bytes());
        if self.over.len() >= OVER_RUNS && !self.over.contains_key(&hash) {
            return false;
        }
        self.over.insert(hash, over);
        true
    }

    /// Notes that the run of `session` is over, under a key that other sessions use after it.
    ///
    /// Such a key is a base entry's, a sub-agent's or a chat's. False when the table is full.
    pub fn add_over_session(&mut self, key: &str, session: &str, over: Over) -> bool {
        let hash = pair(self.seed, key, session);
        if self.over.len() >= OVER_RUNS && !self.over.contains_key(&hash) {
            return false;
        }
        self.over.insert(hash, over);
        true
    }

    /// Notes proof of life of a session; false when the table is full.
    pub fn add_live_session(&mut self, session_id: &str) -> bool {
        add(&mut self.live_sessions, self.seed, session_id)
    }

    /// Notes a key that must stay as it is; false when the table is full.
    pub fn add_protected_key(&mut self, key: &str) -> bool {
        add(&mut self.protected, self.seed, key)
    }

    /// Notes a key that the user named; false when the table is full.
    pub fn add_dropped_key(&mut self, key: &str) -> bool {
        add(&mut self.dropped, self.seed, key)
    }

    pub(crate) fn over(&self, key: u64) -> Option<Over> {
        self.over.get(&key).copied()
    }

    pub(crate) fn over_session(&self, key: &str, session: &str) -> Option<Over> {
        if self.over.is_empty() || session.is_empty() {
            return None;
        }
        self.over.get(&pair(self.seed, key, session)).copied()
    }

    pub(crate) fn is_live_session(&self, session_id: &str) -> bool {
        !session_id.is_empty()
            && !self.live_sessions.is_empty()
            && self
                .live_sessions
                .contains(&fingerprint(self.seed, session_id.as_bytes()))
    }

    pub(crate) fn is_protected(&self, key: u64) -> bool {
        self.protected.contains(&key)
    }

    pub(crate) fn is_dropped(&self, key: u64) -> bool {
        self.dropped.contains(&key)
    }
}

/// Fingerprints a key together with a session; another seed keeps it apart from plain keys.
fn pair(seed: u64, key: &str, session: &str) -> u64 {
    let inner = fingerprint(seed, session.as_bytes());
    fingerprint(seed.wrapping_add(1) ^ inner, key.as_bytes())
}

fn add(set: &mut HashSet<u64>, seed: u64, text: &str) -> bool {
    let hash = fingerprint(seed, text.as_bytes());
    if set.len() >= NAMED && !set.contains(&hash) {
        return false;
    }
    set.insert(hash);
    true
}
