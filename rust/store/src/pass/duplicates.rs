//! Looks for a key that occurs twice, in constant memory.
//!
//! The survey's own pass puts 16 bits of each key's fingerprint into a fixed table. A key whose
//! bits are there already is a suspect: every true duplicate is one, and of others about one in
//! 16,000 when the table is nearly full. If the table overflows, the store is read again, one
//! share of the keys after the other. All suspects are then looked at once more with all 64
//! bits, and what is still a pair with a fingerprint of another seed.
//!
//! These further passes look at keys alone and neither judge entries nor digest the store.

use crate::bytes::lex::{unquoted, Chunk, Event, Lexer, Part, Visitor};
use crate::entry::fingerprint::Fingerprint;
use crate::input::error::Result;
use crate::input::io::{Control, ReadAt};
use crate::input::limits::{FINGERPRINTS, SUSPECTS};
use crate::pass::scan::check;
use serde::Serialize;
use std::collections::HashMap;
use std::hint::black_box;

/// The second of two entries with one key.
#[derive(Debug, Clone, Copy, Serialize, PartialEq, Eq)]
pub struct Duplicate {
    /// Its offset.
    pub offset: u64,
}

/// Keys that fit into one pass.
const ROOM: usize = FINGERPRINTS / 5 * 4;
/// Keys in a share on average: shares differ, and none may overflow.
const SHARE: u64 = ROOM as u64 / 10 * 9;
/// What fresh memory holds: the system gives it out as it is used.
const EMPTY: u16 = 0;
/// Slots that the smallest page of memory holds.
const PAGE: usize = 4096 / size_of::<u16>();

/// A set of key fingerprints that may fill up, and the suspects found with it.
#[derive(Debug)]
pub(crate) struct Sieve {
    slots: Vec<u16>,
    used: usize,
    overflow: bool,
    is_in_memory: bool,
    suspects: Vec<u64>,
}

impl Sieve {
    /// Makes an empty one of 4 MiB.
    pub(crate) fn new() -> Self {
        Self {
            slots: vec![EMPTY; FINGERPRINTS],
            used: 0,
            overflow: false,
            is_in_memory: false,
            suspects: Vec::new(),
        }
    }

    /// Has all of its memory given out, so that what a large store takes depends on nothing in it.
    /// A small one does without, which is most of its survey's time.
    pub(crate) fn take_memory(&mut self) {
        if !std::mem::replace(&mut self.is_in_memory, true) {
            for page in self.slots.chunks_mut(PAGE) {
                page[0] = black_box(page[0]); // written, whatever it is
            }
        }
    }

    /// Forgets everything but the suspects.
    fn clear(&mut self) {
        self.slots.fill(EMPTY);
        self.used = 0;
        self.overflow = false;
    }

    /// Adds one, and notes it as a suspect if it may have been there.
    ///
    /// More than [`SUSPECTS`] are not needed: so many at once are nearly all true.
    pub(crate) fn add(&mut self, fingerprint: u64) {
        if self.used >= ROOM {
            self.overflow = true;
            return;
        }
        // Place, bits and share are taken from different parts of the fingerprint.
        #[allow(clippy::cast_possible_truncation)] // masked
        let (mut at, bits) = (
            fingerprint as usize & (FINGERPRINTS - 1),
            (fingerprint >> FINGERPRINTS.ilog2()) as u16,
        );
        let bits = if bits == EMPTY { 1 } else { bits };
        loop {
            match self.slots[at] {
                EMPTY => {
                    self.slots[at] = bits;
                    self.used += 1;
                    return;
                }
                here if here == bits => {
                    if self.suspects.len() < SUSPECTS {
                        self.suspects.push(fingerprint);
                    }
                    return;
                }
                _ => at = (at + 1) & (FINGERPRINTS - 1),
            }
        }
    }
}

/// Looks for a key that occurs twice, after a pass that gave all `entries` keys to `sieve`.
///
/// # Errors
///
/// As [`crate::pass::scan::scan`].
pub(crate) fn find_duplicate(
    input: &dyn ReadAt,
    seed: u64,
    control: &Control,
    entries: u64,
    mut sieve: Sieve,
) -> Result<Option<Duplicate>> {
    if !sieve.overflow {
        return confirm(input, seed, control, &sieve.suspects);
    }
    sieve.suspects.clear();
    let shares = entries / SHARE + 1;
    for share in 0..shares {
        sieve.clear();
        for_each_key(input, seed, control, |fingerprint, _| {
            if (fingerprint >> 40) % shares == share {
                sieve.add(fingerprint);
            }
        })?;
        if sieve.suspects.len() >= SUSPECTS / 2 || share + 1 == shares {
            let found = confirm(input, seed, control, &sieve.suspects)?;
            if found.is_some() {
                return Ok(found);
            }
            sieve.suspects.clear();
        }
    }
    Ok(None)
}

/// Says whether one of the suspects really occurs twice.
fn confirm(
    input: &dyn ReadAt,
    seed: u64,
    control: &Control,
    suspects: &[u64],
) -> Result<Option<Duplicate>> {
    if suspects.is_empty() {
        return Ok(None);
    }
    let mut met: HashMap<u64, bool> = suspects.iter().map(|one| (*one, false)).collect();
    let mut twice_at = None;
    for_each_key(input, seed, control, |fingerprint, at| {
        if let Some(met) = met.get_mut(&fingerprint) {
            if *met && twice_at.is_none() {
                twice_at = Some(at);
            }
            *met = true;
        }
    })?;
    let Some(offset) = twice_at else {
        return Ok(None);
    };
    // Equal fingerprints are not yet equal keys: ask once more with another seed.
    let other = seed ^ 0x9E37_79B9_7F4A_7C15;
    let (mut wanted, mut found) = (None, false);
    for_each_key(input, other, control, |fingerprint, at| {
        if at == offset {
            wanted = Some(fingerprint);
        }
    })?;
    for_each_key(input, other, control, |fingerprint, at| {
        found |= at < offset && wanted == Some(fingerprint);
    })?;
    Ok(found.then_some(Duplicate { offset }))
}

/// Calls `each` with the fingerprint and the offset of every key.
fn for_each_key(
    input: &dyn ReadAt,
    seed: u64,
    control: &Control,
    each: impl FnMut(u64, u64),
) -> Result<()> {
    let mut keys = Keys {
        each,
        fingerprint: Fingerprint::new(seed),
        cut: None,
    };
    check(Lexer::new(), input, control, &mut keys).map(drop)
}

struct Keys<F> {
    each: F,
    /// Of a key that needs more than one call: cut by the end of a piece, or with escapes.
    fingerprint: Fingerprint,
    /// The key that was cut: offset of its quote, and of what was not looked at yet.
    cut: Option<(u64, u64)>,
}

impl<F: FnMut(u64, u64)> Visitor for Keys<F> {
    #[inline(always)]
    fn event(&mut self, event: Event<'_>, chunk: &Chunk<'_>) -> Result<()> {
        match event {
            Event::Whole(Part::Key, from, bytes) => {
                let value = self.fingerprint.of(unquoted(bytes));
                (self.each)(value, from);
            }
            Event::Begin(Part::Key, at) => self.cut = Some((at, at + 1)),
            Event::End(at) => {
                if let Some((starts, from)) = self.cut.take() {
                    self.fingerprint.feed(chunk.slice(from, at - 1));
                    (self.each)(self.fingerprint.take(), starts);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn chunk_end(&mut self, chunk: &Chunk<'_>) {
        if let Some((_, from)) = &mut self.cut {
            self.fingerprint.feed(chunk.slice(*from, chunk.end()));
            *from = chunk.end();
        }
    }
}
