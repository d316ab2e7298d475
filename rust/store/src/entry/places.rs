//! Where an entry and its fields are in the file: what is needed to cut, set or copy bytes.

use crate::bytes::lex::Chunk;

/// A half-open range of bytes in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: u64,
    /// Byte after the last.
    pub end: u64,
}

impl Span {
    /// Returns its length in bytes.
    #[must_use]
    pub fn len(self) -> u64 {
        self.end - self.start
    }

    /// Says whether it holds nothing.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Returns what is between its quotes, if all of it lies in that piece.
    #[inline]
    pub(super) fn inside<'c>(self, chunk: &Chunk<'c>) -> &'c [u8] {
        chunk.whole(self.start + 1, self.end.wrapping_sub(1))
    }
}

/// A top-level field of an entry, with what is needed to cut or replace it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its place among the entry's fields, from 0.
    pub ordinal: u32,
    /// End of the field before it, or the byte after the entry's brace.
    pub previous_end: u64,
    /// From its name's quote to the end of its value.
    pub span: Span,
    /// End of its name, quote included.
    pub name_end: u64,
    /// Its value alone.
    pub value: Span,
    /// Start of the next field, if there is one.
    pub next_start: Option<u64>,
}

/// Where an entry is, and its fields that may be cut or set.
#[derive(Debug, Default)]
pub struct Places {
    /// Key quote to value end.
    pub span: Span,
    /// The value alone.
    pub value: Span,
    /// The key with its quotes.
    pub(super) key: Span,
    /// The fields.
    pub members: Members,
}

/// Where those fields of an entry are that may be cut or set.
#[derive(Debug, Default)]
pub struct Members {
    /// `status`
    pub status: Option<Member>,
    /// `endedAt`
    pub ended: Option<Member>,
    /// `runtimeMs`
    pub runtime: Option<Member>,
    /// `skillsSnapshot`
    pub skills: Option<Member>,
    /// `systemPromptReport`
    pub report: Option<Member>,
}

impl Members {
    /// Returns the slots of all fields.
    #[inline(always)]
    pub(super) fn all_mut(&mut self) -> [&mut Option<Member>; 5] {
        let Self {
            status,
            ended,
            runtime,
            skills,
            report,
        } = self;
        [status, ended, runtime, skills, report]
    }

    /// Returns the fields that the gateway rebuilds, and that make most of an entry's bytes.
    #[must_use]
    pub fn bulk(&self) -> [Option<Member>; 2] {
        [self.skills, self.report]
    }
}
