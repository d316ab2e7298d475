//! Entries as facts ([`Fields`], [`Facts`]: what they say) and [`Places`] (where that is in the file).
//!
//! A policy judges facts and never asks for places, so what it says of a store's entry it says of
//! a database's row.

pub mod key;

pub(crate) mod fingerprint;

mod assemble;
mod capture;
mod escapes;
mod facts;
mod known;
mod places;
mod status;

pub use assemble::{Entries, EntryVisitor};
pub use facts::{Facts, Fields};
pub use key::Key;
pub use known::OVERRIDES;
pub use places::{Member, Members, Places, Span};
pub use status::Status;

use crate::bytes::lex::Chunk;
use fingerprint::fingerprint;
use known::Known;
use twox_hash::XxHash3_128;

/// A key out of the input; no text if it is odd.
#[derive(Debug, Default)]
struct KeptKey {
    text: Option<String>,
    fingerprint: u64,
}

/// One entry of a store.
#[derive(Debug, Default)]
pub struct Entry {
    /// What its fields say.
    pub fields: Fields,
    /// Where it and its fields are.
    pub places: Places,
    /// What the key says, if it has escapes or does not lie in the piece that the entry ends in.
    kept_key: Option<KeptKey>,
    /// Of the key fingerprints.
    seed: u64,
    /// XXH3-128 of the member, if it does not lie in one piece of the input.
    hash: Option<u128>,
}

impl Entry {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            ..Self::default()
        }
    }

    /// Returns all that a policy may know of it.
    #[must_use]
    #[inline]
    pub fn facts<'a>(&'a self, key: &'a Key<'a>) -> Facts<'a> {
        let members = &self.places.members;
        Facts {
            key,
            fields: &self.fields,
            has_bulk: members.skills.is_some() || members.report.is_some(),
            bytes: self.places.span.len(),
        }
    }

    /// Returns the XXH3-128 of the whole member, which each call computes. `chunk` is the piece that
    /// the entry ends in.
    #[must_use]
    pub fn member_hash(&self, chunk: &Chunk<'_>) -> u128 {
        let Span { start, end } = self.places.span;
        self.hash
            .unwrap_or_else(|| XxHash3_128::oneshot(chunk.slice(start, end)))
    }

    /// Takes the key apart, on each call. `chunk` is the piece that the entry ends in.
    #[must_use]
    pub fn key<'a>(&'a self, chunk: &Chunk<'a>) -> Key<'a> {
        if let Some(kept) = &self.kept_key {
            return Key::new(kept.text.as_deref(), kept.fingerprint);
        }
        let inside = self.places.key.inside(chunk);
        // Unicode, unless the lexer was told to know the bytes and they are others now.
        let text = std::str::from_utf8(inside).ok();
        Key::new(text, fingerprint(self.seed, inside))
    }

    /// Empties it for the next entry; `met` has a bit for each looked-at field that was met. Spans
    /// are left: all are set for every entry.
    #[inline(always)]
    fn clear(&mut self, met: u16) {
        let times_only = met & !(Known::UpdatedAt.bit() | Known::StartedAt.bit()) == 0;
        self.fields.clear(times_only);
        (self.kept_key, self.hash) = (None, None);
        if !times_only {
            for member in self.places.members.all_mut() {
                *member = None; // one byte each; a whole `Members` would be 400
            }
        }
    }
}
