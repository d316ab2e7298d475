//! Reads a store whole: is it valid, and are its entries the ones that were meant?

use crate::entry::{Entries, Entry, EntryVisitor};
use crate::error::Result;
use crate::io::{scan, Control, ReadAt};
use crate::key::fingerprint;
use crate::lex::Chunk;
use serde::Serialize;
use std::collections::HashMap;

/// What a full read found; serialises to what Python reads.
#[derive(Debug, Serialize)]
pub struct Numbers {
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
pub fn verify(input: &dyn ReadAt, control: &Control) -> Result<Numbers> {
    let mut entries = Entries::new(
        Count {
            entries: 0,
            kept: blake3::Hasher::new(),
        },
        0,
    );
    let scanned = scan(input, control, &mut entries)?;
    Ok(Numbers {
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

/// Says for each session id whether an entry still has it, as `sessionId` or in `sessionFile`.
///
/// # Errors
///
/// As [`scan`].
///
/// # Memory
///
/// O(ids).
pub fn referenced_sessions(
    input: &dyn ReadAt,
    ids: &[String],
    seed: u64,
    control: &Control,
) -> Result<Vec<bool>> {
    let wanted = ids
        .iter()
        .map(|id| (fingerprint(seed, id.as_bytes()), false))
        .collect();
    let mut entries = Entries::new(Sessions { seed, wanted }, seed);
    scan(input, control, &mut entries)?;
    let found = entries.inner.wanted;
    Ok(ids
        .iter()
        .map(|id| found.get(&fingerprint(seed, id.as_bytes())) == Some(&true))
        .collect())
}

struct Sessions {
    seed: u64,
    wanted: HashMap<u64, bool>,
}

impl EntryVisitor for Sessions {
    fn entry(&mut self, entry: &Entry, _: &Chunk<'_>) -> Result<()> {
        let file = entry
            .session_file
            .rsplit(['/', '\\'])
            .next()
            .unwrap_or_default();
        let stem = file.strip_suffix(".jsonl").unwrap_or(file);
        for id in [entry.session_id.as_str(), stem] {
            if let Some(found) = self.wanted.get_mut(&fingerprint(self.seed, id.as_bytes())) {
                *found = true;
            }
        }
        Ok(())
    }
}
