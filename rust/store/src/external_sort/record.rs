//! Records, and which of several stays.

pub(super) const RECORD_BYTES: usize = 32;

/// A hash, and an order among what has the same hash.
pub type Key = (u64, i64);

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// What it is found by.
    pub key: Key,
    /// Decides between records of one key.
    pub weight: i64,
    /// Whatever is to be known.
    pub value: u64,
}

impl Record {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.key.0.to_le_bytes());
        out.extend_from_slice(&self.key.1.to_le_bytes());
        out.extend_from_slice(&self.weight.to_le_bytes());
        out.extend_from_slice(&self.value.to_le_bytes());
    }

    pub(super) fn read(bytes: &[u8]) -> Self {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at * 8..at * 8 + 8]);
            word
        };
        Self {
            key: (u64::from_le_bytes(word(0)), i64::from_le_bytes(word(1))),
            weight: i64::from_le_bytes(word(2)),
            value: u64::from_le_bytes(word(3)),
        }
    }
}

/// Which of several records with one key stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefer {
    /// All of them, in the order in which they came.
    All,
    /// The last.
    Last,
    /// The heaviest; of equals the last.
    Heaviest,
    /// The lightest; of equals the first.
    Lightest,
}

impl Prefer {
    /// Says whether `new` takes the place of `old`; `None` if both stay.
    pub(super) fn replaces(self, old: &Record, new: &Record) -> Option<bool> {
        match self {
            Self::All => None,
            Self::Last => Some(true),
            Self::Heaviest => Some(new.weight >= old.weight),
            Self::Lightest => Some(new.weight < old.weight),
        }
    }
}
