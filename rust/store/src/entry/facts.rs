//! What is known of an entry: all that a policy may ask, and nothing about bytes of a file.

use crate::entry::key::Key;
use crate::entry::Status;

/// What the top-level fields of an entry say. Strings are unescaped, and empty where absent or too
/// long.
#[derive(Debug, Default)]
pub struct Fields {
    /// The value is an object.
    pub is_object: bool,
    /// A looked-at field occurs twice, or has a type it should not have.
    pub is_odd: bool,
    /// A person chose something for this session.
    pub has_override: bool,
    /// `sessionId`
    pub session_id: String,
    /// `sessionFile`
    pub session_file: String,
    /// `updatedAt`
    pub updated_ms: Option<i64>,
    /// `startedAt`
    pub started_ms: Option<i64>,
    /// `endedAt`
    pub ended_ms: Option<i64>,
    /// `status`
    pub status: Status,
}

impl Fields {
    /// Says whether the fields can be trusted to say what they seem to say.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.is_object && !self.is_odd
    }

    /// Empties it for the next entry, except `is_object`, which is set for every entry. With
    /// `times_only`, no other field than a time was set.
    ///
    /// Each field by itself, for two reasons. `*self = Self::default()` would free the strings, and
    /// a store of tiny entries feels that. And because all are named here, a new field does not
    /// compile before it is emptied: a value left over from one entry would judge the next.
    #[inline(always)]
    pub(super) fn clear(&mut self, times_only: bool) {
        let Self {
            is_object: _,
            is_odd,
            has_override,
            session_id,
            session_file,
            updated_ms,
            started_ms,
            ended_ms,
            status,
        } = self;
        (*is_odd, *has_override) = (false, false);
        (*updated_ms, *started_ms, *ended_ms) = (None, None, None);
        if !times_only {
            session_id.clear();
            session_file.clear();
            *status = Status::Absent;
        }
    }
}

/// All that a policy may know of one entry, wherever the entry is kept.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Its key.
    pub key: &'a Key<'a>,
    /// What its fields say.
    pub fields: &'a Fields,
    /// It has fields that the gateway rebuilds, and that make most of an entry's bytes.
    pub has_bulk: bool,
    /// Its size.
    pub bytes: u64,
}

impl Facts<'_> {
    /// Returns when its session was last at work; `None` if nothing says so.
    #[must_use]
    #[inline]
    pub fn seen_ms(&self) -> Option<i64> {
        match (self.fields.updated_ms, self.fields.started_ms) {
            (Some(updated), Some(started)) => Some(updated.max(started)),
            (one, other) => one.or(other),
        }
    }
}
