//! What is known about single entries from outside the store.

use crate::entry::fingerprint::fingerprint;
use crate::input::error::Result;
use crate::input::limits::NAMED;
use crate::judge::run_ends::{KnownRunEnds, RunEnd};
use std::collections::HashSet;
use std::sync::Arc;

/// Tables of fingerprints, made with a secret seed so that no store can aim at them.
///
/// # Memory
///
/// O(1): at most three times [`NAMED`] slots, about 4 MiB when all are full, and what
/// [`RunEnds`](crate::judge::run_ends::RunEnds) takes.
#[derive(Debug)]
pub struct Evidence {
    ends: Arc<KnownRunEnds>,
    live_sessions: HashSet<u64>,
    protected: HashSet<u64>,
    dropped: HashSet<u64>,
}

impl Evidence {
    /// Makes one that knows of these ends and of nothing else.
    #[must_use]
    pub fn new(ends: Arc<KnownRunEnds>) -> Self {
        Self {
            ends,
            live_sessions: HashSet::new(),
            protected: HashSet::new(),
            dropped: HashSet::new(),
        }
    }

    /// Makes an empty one; `seed` should be random.
    #[must_use]
    pub fn empty(seed: u64) -> Self {
        Self::new(Arc::new(KnownRunEnds::none(seed)))
    }

    /// Returns the seed that key fingerprints must be made with.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.ends.seed()
    }

    /// Notes proof of life of a session; false when the table is full.
    pub fn add_live_session(&mut self, session_id: &str) -> bool {
        add(&mut self.live_sessions, self.ends.seed(), session_id)
    }

    /// Notes a key that must stay as it is; false when the table is full.
    pub fn add_protected_key(&mut self, key: &str) -> bool {
        add(&mut self.protected, self.ends.seed(), key)
    }

    /// Notes a key that the user named; false when the table is full.
    pub fn add_dropped_key(&mut self, key: &str) -> bool {
        add(&mut self.dropped, self.ends.seed(), key)
    }

    pub(crate) fn end_of(&self, key: u64) -> Result<Option<RunEnd>> {
        self.ends.find(key)
    }

    pub(crate) fn end_of_session(&self, key: &str, session: &str) -> Result<Option<RunEnd>> {
        self.ends.find_session(key, session)
    }

    pub(crate) fn is_live_session(&self, session_id: &str) -> Result<bool> {
        if session_id.is_empty() {
            return Ok(false);
        }
        let named = !self.live_sessions.is_empty()
            && self
                .live_sessions
                .contains(&fingerprint(self.seed(), session_id.as_bytes()));
        Ok(named || self.ends.is_living(session_id)?)
    }

    pub(crate) fn is_protected(&self, key: u64) -> bool {
        self.protected.contains(&key)
    }

    pub(crate) fn is_dropped(&self, key: u64) -> bool {
        self.dropped.contains(&key)
    }
}

fn add(set: &mut HashSet<u64>, seed: u64, text: &str) -> bool {
    let hash = fingerprint(seed, text.as_bytes());
    if set.len() >= NAMED && !set.contains(&hash) {
        return false;
    }
    set.insert(hash);
    true
}
