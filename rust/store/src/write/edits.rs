//! Turns verdicts into byte ranges: what leaves the file, and what is put in its place.

use crate::entry::{Entry, Member, Span};
use crate::input::error::Result;
use crate::input::io::{read_full, ReadAt};
use crate::judge::census::signed;
use crate::judge::verdict::Verdict;

/// A removed member with the separators that go with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// What leaves the file.
    pub range: Span,
    /// Separator bytes before the member.
    pub lead: u64,
    /// Separator bytes after it.
    pub trail: u64,
}

/// Decides which separators go with a removed entry, so that what stays is valid JSON.
///
/// A removed entry takes the comma before it; one that has no kept entry before it takes what
/// follows up to the next entry, which is why its cut is known only then.
#[derive(Debug, Default)]
pub struct Cutter {
    kept_before: bool,
    previous_end: u64,
    pending: Option<Span>,
}

impl Cutter {
    /// Notes the start of the next entry: completes a pending cut.
    pub fn entry_starts(&mut self, start: u64) -> Option<Cut> {
        self.pending.take().map(|span| Cut {
            range: Span {
                start: span.start,
                end: start,
            },
            lead: 0,
            trail: start - span.end,
        })
    }

    /// Notes a kept entry.
    pub fn keep(&mut self, span: Span) {
        self.kept_before = true;
        self.previous_end = span.end;
    }

    /// Notes a removed entry; returns its cut unless the next entry decides it.
    pub fn remove(&mut self, span: Span) -> Option<Cut> {
        let previous_end = std::mem::replace(&mut self.previous_end, span.end);
        if self.kept_before {
            return Some(Cut {
                range: Span {
                    start: previous_end,
                    end: span.end,
                },
                lead: span.start - previous_end,
                trail: 0,
            });
        }
        self.pending = Some(span);
        None
    }

    /// Notes the end of the object: completes a pending cut.
    pub fn finish(&mut self) -> Option<Cut> {
        self.pending.take().map(|span| Cut {
            range: span,
            lead: 0,
            trail: 0,
        })
    }
}

/// A range and what replaces it.
pub type Edit = (Span, Vec<u8>);

/// Returns the edits of a verdict within one entry, in file order and without overlap.
pub fn edits(input: &dyn ReadAt, entry: &Entry, verdict: Verdict) -> Result<Vec<Edit>> {
    let Verdict::Edit { slim, retire } = verdict else {
        return Ok(Vec::new());
    };
    let mut edits = Vec::with_capacity(5);
    if slim {
        let mut cut: Vec<Member> = entry.places.members.bulk().into_iter().flatten().collect();
        cut.sort_by_key(|member| member.ordinal);
        for (before, member) in cut.iter().enumerate() {
            let kept_before = member.ordinal as usize > before;
            let span = match (kept_before, member.next_start) {
                (true, _) => Span {
                    start: member.previous_end,
                    end: member.span.end,
                },
                (false, Some(next)) => Span {
                    start: member.span.start,
                    end: next,
                },
                (false, None) => member.span,
            };
            edits.push((span, Vec::new()));
        }
    }
    if let (Some(over), Some(status)) = (retire, entry.places.members.status) {
        let mut text = format!("\"{}\"", over.status.name());
        let colon = if status.value.start - status.name_end == 1 {
            ":"
        } else {
            ": "
        };
        let separator = space_before(input, status.span.start)?;
        for (member, name, value) in [
            (entry.places.members.ended, "endedAt", over.ended_at_ms),
            (entry.places.members.runtime, "runtimeMs", over.runtime_ms),
        ] {
            match member {
                Some(member) => edits.push((member.value, value.to_string().into_bytes())),
                None => text.extend([",", &separator, "\"", name, "\"", colon, &value.to_string()]),
            }
        }
        edits.push((status.value, text.into_bytes()));
    }
    edits.sort_by_key(|(span, _)| span.start);
    Ok(edits)
}

/// Returns the white space before a member's name, so that an added member looks like its
/// neighbours: 64 bytes of it at most.
pub fn space_before(input: &dyn ReadAt, start: u64) -> Result<String> {
    let from = start.saturating_sub(64);
    let mut buffer = [0u8; 64];
    #[allow(clippy::cast_possible_truncation)] // at most 64
    let want = (start - from) as usize;
    let got = read_full(input, &mut buffer[..want], from)?;
    let tail = buffer[..got]
        .rsplit(|byte| !byte.is_ascii_whitespace())
        .next();
    Ok(tail
        .map(|space| String::from_utf8_lossy(space).into_owned())
        .unwrap_or_default())
}

/// Returns the bytes that edits take away, less what they add; negative when they add more.
pub fn shrinkage(edits: &[Edit]) -> i64 {
    edits
        .iter()
        .map(|(span, text)| signed(span.len()) - signed(text.len() as u64))
        .sum()
}
