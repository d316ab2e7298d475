//! Reads a store whole: is it valid, and are its entries the ones that were meant?

use crate::bytes::lex::Chunk;
use crate::entry::fingerprint::fingerprint;
use crate::entry::{Entries, Entry, EntryVisitor};
use crate::external_sort::{Key, Prefer, Record, Sorted, Sorter, Spill};
use crate::input::error::Result;
use crate::input::io::{Control, ReadAt};
use crate::pass::scan::scan;
use serde::Serialize;
use std::sync::Arc;

/// What a full read found; serialises to what Python reads.
#[derive(Debug, Serialize)]
pub struct VerifyNumbers {
    /// Size.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
    /// XXH3-128 in hex.
    pub digest: String,
    /// BLAKE3 over the XXH3-128 of each entry.
    pub kept_digest: String,
}

/// Validates a store and digests it and its entries.
///
/// # Errors
///
/// As [`scan`].
pub fn verify(input: &dyn ReadAt, control: &Control) -> Result<VerifyNumbers> {
    let mut entries = Entries::new(
        Count {
            entries: 0,
            kept: blake3::Hasher::new(),
        },
        0,
    );
    let scanned = scan(input, control, &mut entries)?;
    Ok(VerifyNumbers {
        bytes: scanned.bytes,
        entries: entries.inner.entries,
        digest: scanned.digest,
        kept_digest: entries.inner.kept.finalize().to_hex().to_string(),
    })
}

struct Count {
    entries: u64,
    kept: blake3::Hasher,
}

impl EntryVisitor for Count {
    fn entry(&mut self, entry: &Entry, chunk: &Chunk<'_>) -> Result<()> {
        self.entries += 1;
        self.kept.update(&entry.member_hash(chunk).to_le_bytes());
        Ok(())
    }
}

/// Gathers the sessions that entries still have, as `sessionId` or in `sessionFile`: ask by
/// [`session_key`].
///
/// # Errors
///
/// As [`scan`] and [`Sorter::add`].
///
/// # Memory
///
/// O(1): a [`Sorter`].
pub fn gather_sessions(
    input: &dyn ReadAt,
    seed: u64,
    spill: Option<Arc<Spill>>,
    control: &Control,
) -> Result<Sorted> {
    let found = Sorter::new(Prefer::Last, spill);
    let mut entries = Entries::new(Sessions { seed, found }, seed);
    scan(input, control, &mut entries)?;
    entries.inner.found.seal()
}

/// Returns what a session is found by.
#[must_use]
pub fn session_key(seed: u64, id: &str) -> Key {
    (fingerprint(seed, id.as_bytes()), 0)
}

struct Sessions {
    seed: u64,
    found: Sorter,
}

impl Sessions {
    fn add(&mut self, id: &str) -> Result<()> {
        self.found.add(Record {
            key: session_key(self.seed, id),
            weight: 0,
            value: 0,
        })
    }
}

impl EntryVisitor for Sessions {
    fn entry(&mut self, entry: &Entry, _: &Chunk<'_>) -> Result<()> {
        let file = entry
            .fields
            .session_file
            .rsplit(['/', '\\'])
            .next()
            .unwrap_or_default();
        let stem = file.strip_suffix(".jsonl").unwrap_or(file);
        self.add(&entry.fields.session_id)?;
        if stem != entry.fields.session_id {
            self.add(stem)?;
        }
        Ok(())
    }
}
