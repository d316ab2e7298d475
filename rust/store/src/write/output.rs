//! A new store: ranges of the old one, new text between them, and digests of both.

use crate::bytes::lex::Chunk;
use crate::entry::Span;
use crate::input::digest::Digesting;
use crate::input::error::Result;
use crate::input::io::{Control, ReadAt};
use crate::input::limits::BUFFER_BYTES;
use crate::write::splice::Splicer;
use std::io::{BufWriter, Write};
use std::thread::Scope;
use twox_hash::XxHash3_128;

/// A new store being written: ranges of the old one, and new text between them.
pub(crate) struct Output<'scope, W: Write> {
    out: Splicer<'scope, BufWriter<Digesting<W, XxHash3_128>>>,
    copied_to: u64,
    kept: blake3::Hasher,
    /// Entries written.
    pub entries: u64,
}

impl<'scope, W: Write> Output<'scope, W> {
    pub(crate) fn new(input: &'scope dyn ReadAt, control: &'scope Control, out: W) -> Self {
        let out = BufWriter::with_capacity(BUFFER_BYTES, Digesting::new(out));
        Self {
            out: Splicer::inline(input, control, out),
            copied_to: 0,
            kept: blake3::Hasher::new(),
            entries: 0,
        }
    }

    /// Reads, digests and writes on a thread of its own.
    pub(crate) fn threaded(mut self, scope: &'scope Scope<'scope, '_>) -> Self
    where
        W: Send + 'scope,
    {
        self.out = self.out.threaded(scope, "tailflip-write");
        self
    }

    /// Copies the input up to `to`.
    pub(crate) fn copy_to(&mut self, to: u64) -> Result<()> {
        if to <= self.copied_to {
            return Ok(());
        }
        let start = std::mem::replace(&mut self.copied_to, to);
        self.out.range(Span { start, end: to })
    }

    /// Copies up to `span` and leaves it out, writing `text` instead.
    pub(crate) fn replace(&mut self, span: Span, text: &[u8]) -> Result<()> {
        self.copy_to(span.start)?;
        self.out.text(text)?;
        self.copied_to = span.end;
        Ok(())
    }

    /// Holds the piece of the input that the pass looks at.
    pub(crate) fn hold(&mut self, chunk: &Chunk<'_>) {
        self.out.hold(chunk);
    }

    /// Writes new text here.
    pub(crate) fn text(&mut self, text: &[u8]) -> Result<()> {
        self.out.text(text)
    }

    /// Notes that an entry with this XXH3-128 belongs to the output.
    pub(crate) fn note_entry(&mut self, hash: u128) {
        self.entries += 1;
        self.kept.update(&hash.to_le_bytes());
    }

    /// Ends the output; returns bytes, digest, digest of entries.
    pub(crate) fn finish(self) -> Result<(u64, String, String)> {
        let mut out = self.out.finish()?;
        out.flush()?;
        let (bytes, digest) = out.get_ref().finish();
        Ok((bytes, digest, self.kept.finalize().to_hex().to_string()))
    }
}
