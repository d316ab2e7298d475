//! Counts of entries and bytes, by name.

use crate::judge::policy::Rule;
use crate::judge::verdict::Verdict;
use serde::Serialize;

/// A name with entries and bytes.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Tally {
    /// What is counted.
    pub name: String,
    /// How many entries.
    pub entries: u64,
    /// How many bytes; for rules, what leaves the store.
    pub bytes: i64,
}

impl Tally {
    pub(crate) fn new(name: String, (entries, bytes): (u64, i64)) -> Self {
        Self {
            name,
            entries,
            bytes,
        }
    }
}

/// Counts by rule.
#[derive(Debug, Default)]
pub(crate) struct RuleCount {
    counts: [(u64, i64); Rule::ALL.len()],
}

impl RuleCount {
    pub(crate) fn add(&mut self, rule: Rule, bytes: i64) {
        if let Some(at) = Rule::ALL.iter().position(|one| *one == rule) {
            self.counts[at].0 += 1;
            self.counts[at].1 += bytes;
        }
    }

    /// Counts an edit; its bytes go to the first rule that applies.
    pub(crate) fn add_edit(&mut self, verdict: Verdict, bytes: i64) {
        if let Verdict::Edit { slim, retire } = verdict {
            if slim {
                self.add(Rule::Slim, bytes);
            }
            if retire.is_some() {
                self.add(Rule::Retire, if slim { 0 } else { bytes });
            }
        }
    }

    pub(crate) fn tallies(&self) -> Vec<Tally> {
        Rule::ALL
            .iter()
            .zip(self.counts)
            .filter(|(_, (entries, _))| *entries > 0)
            .map(|(rule, (entries, bytes))| Tally {
                name: rule.name().to_owned(),
                entries,
                bytes,
            })
            .collect()
    }
}
