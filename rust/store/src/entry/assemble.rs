//! From lexer events to entries.

use crate::bytes::lex::{unquoted, Chunk, Event, Part, Shape, Visitor};
use crate::entry::capture::{append_text, read_millis, read_text, Capture};
use crate::entry::escapes::{has_escape, unescape};
use crate::entry::fingerprint::Fingerprint;
use crate::entry::known::{Known, OVERRIDES};
use crate::entry::places::{Member, Span};
use crate::entry::{Entry, KeptKey, Status};
use crate::input::error::Result;
use crate::input::limits::CAPTURE_BYTES;
use twox_hash::XxHash3_128;

/// Hears of whole entries, in file order.
pub trait EntryVisitor {
    /// Hears of an entry that has ended. `chunk` is the piece of input that holds its last byte.
    ///
    /// # Errors
    ///
    /// Ends the pass.
    fn entry(&mut self, entry: &Entry, chunk: &Chunk<'_>) -> Result<()>;
    /// Hears of a top-level field of the current entry. `name` is raw and perhaps cut short.
    fn field(&mut self, name: &[u8], bytes: u64) {
        let _ = (name, bytes);
    }
    /// Hears that the root object closes at `at`.
    ///
    /// # Errors
    ///
    /// Ends the pass.
    fn root_end(&mut self, at: u64) -> Result<()> {
        let _ = at;
        Ok(())
    }
}

/// Assembles entries from lexer events and passes them to `inner`.
pub struct Entries<T> {
    /// Who hears of the entries.
    pub inner: T,
    entry: Entry,
    /// Of a key that needs more than one call: cut by the end of a buffer, or with escapes.
    fingerprint: Fingerprint,
    capture: Capture,
    /// What was cut by the end of a piece, and where it began.
    open: Option<(Part, u64)>,
    /// A key has begun, and its value has not ended.
    in_member: bool,
    known: Option<Known>,
    /// The looked-at fields that the entry has so far, a bit for each.
    met: u16,
    /// The name of the current field, if it has escapes or was cut.
    name: Vec<u8>,
    name_kept: bool,
    name_span: Span,
    ordinal: u32,
    previous_end: u64,
    /// Of the current member's pieces before this one, and where they end.
    hash: XxHash3_128,
    hashed_to: Option<u64>,
}

impl<T: EntryVisitor> Entries<T> {
    /// Makes one; `seed` is that of the key fingerprints.
    pub fn new(inner: T, seed: u64) -> Self {
        Self {
            inner,
            entry: Entry::new(seed),
            fingerprint: Fingerprint::new(seed),
            capture: Capture::default(),
            open: None,
            in_member: false,
            known: None,
            met: 0,
            name: Vec::new(),
            name_kept: false,
            name_span: Span::default(),
            ordinal: 0,
            previous_end: 0,
            hash: XxHash3_128::new(),
            hashed_to: None,
        }
    }

    #[inline(always)]
    fn begin_entry(&mut self, at: u64) {
        self.entry.clear(self.met);
        self.met = 0;
        self.entry.places.span.start = at;
        self.in_member = true;
    }

    /// Notes a key that lies in one piece, quotes included.
    #[inline(always)]
    fn note_key(&mut self, span: Span, raw: &[u8], chunk: &Chunk<'_>) {
        self.entry.places.key = span;
        let inside = unquoted(raw);
        let is_plain = span.start >= chunk.plain_from || !has_escape(inside);
        if !is_plain || raw.len() > CAPTURE_BYTES {
            self.keep_key(raw, inside);
        }
    }

    /// Keeps a key: `inside` without its quotes.
    fn keep_key(&mut self, raw: &[u8], inside: &[u8]) {
        let captured = (raw.len() <= CAPTURE_BYTES).then_some(raw);
        self.entry.kept_key = Some(KeptKey {
            text: read_text(captured),
            fingerprint: self.fingerprint.of(inside),
        });
    }

    fn end_key(&mut self, capture: &mut Capture, at: u64, chunk: &Chunk<'_>) {
        let piece = chunk.slice(capture.from.unwrap_or(at), at);
        // Without its last quote; the first is gone.
        self.fingerprint.feed(&piece[..piece.len() - 1]);
        self.entry.kept_key = Some(KeptKey {
            text: read_text(capture.end(at, chunk)),
            fingerprint: self.fingerprint.take(),
        });
    }

    /// Notes the name of a field, without its quotes; nothing is left of one that was cut and is too
    /// long.
    #[inline(always)]
    fn note_name(&mut self, span: Span, inside: &[u8], is_cut: bool) {
        self.name_span = span;
        self.known = Known::from_name(inside);
        self.name_kept = is_cut;
        if self.known.is_none() || is_cut {
            self.note_other_name(inside);
        }
    }

    /// Notes a name that is none of those looked at, as it stands, or was cut.
    fn note_other_name(&mut self, inside: &[u8]) {
        let is_long = inside.len() > CAPTURE_BYTES - 2;
        self.name_kept |= is_long || has_escape(inside);
        if self.name_kept {
            self.name = unescape(if is_long { &[] } else { inside });
            self.known = Known::from_name(&self.name);
        }
        if self.known.is_none() {
            let name = if self.name_kept { &self.name } else { inside };
            self.entry.fields.has_override |=
                OVERRIDES.iter().any(|known| known.as_bytes() == name);
        }
    }

    /// Keeps the name of the current field, which may end in another piece.
    fn keep_name(&mut self, chunk: &Chunk<'_>) {
        if !self.name_kept {
            self.name.clear();
            self.name.extend_from_slice(self.name_span.inside(chunk));
            self.name_kept = true;
        }
    }

    #[inline(always)]
    fn note_field(
        &mut self,
        shape: Shape,
        value: Span,
        captured: Option<&[u8]>,
        chunk: &Chunk<'_>,
    ) {
        let bytes = value.end - self.name_span.start;
        if self.name_kept {
            self.inner.field(&self.name, bytes);
        } else {
            self.inner.field(self.name_span.inside(chunk), bytes);
        }
        if let Some(known) = self.known {
            let twice = self.met & known.bit() != 0;
            self.met |= known.bit();
            let good = self.learn(known, shape, value, captured); // twice or not: the last counts
            self.entry.fields.is_odd |= twice || !good;
        }
        self.ordinal += 1;
        self.previous_end = value.end;
    }

    /// Notes a looked-at field; false when it is not as it should be.
    #[inline(always)]
    fn learn(&mut self, known: Known, shape: Shape, value: Span, captured: Option<&[u8]>) -> bool {
        let member = || Member {
            ordinal: self.ordinal,
            previous_end: self.previous_end,
            span: Span {
                start: self.name_span.start,
                end: value.end,
            },
            name_end: self.name_span.end,
            value,
            next_start: None,
        };
        let Entry { fields, places, .. } = &mut self.entry;
        let members = &mut places.members;
        let time = |slot: &mut Option<i64>| {
            *slot = read_millis(captured);
            slot.is_some() && shape == Shape::Scalar
        };
        let text = |slot: &mut String| {
            slot.clear(); // of two, the gateway takes the last
            shape == Shape::String && append_text(captured, slot)
        };
        match known {
            Known::SessionId => text(&mut fields.session_id),
            Known::SessionFile => text(&mut fields.session_file),
            Known::UpdatedAt => time(&mut fields.updated_ms),
            Known::StartedAt => time(&mut fields.started_ms),
            Known::EndedAt => {
                members.ended = Some(member());
                time(&mut fields.ended_ms)
            }
            Known::RuntimeMs => {
                members.runtime = Some(member());
                true
            }
            Known::Status => {
                let text = read_text(captured).filter(|_| shape == Shape::String);
                let good = text.is_some();
                fields.status = Status::from_text(text.unwrap_or_default().as_bytes());
                members.status = Some(member());
                good
            }
            Known::Skills => {
                members.skills = Some(member());
                true
            }
            Known::Report => {
                members.report = Some(member());
                true
            }
        }
    }

    /// Tells the field before, if it was noted, where the next one starts.
    fn next_member_starts(&mut self, at: u64) {
        if self.known.is_none() || self.ordinal == 0 {
            return;
        }
        let previous = self.ordinal - 1;
        let members = self.entry.places.members.all_mut();
        for member in members
            .into_iter()
            .flatten()
            .filter(|member| member.ordinal == previous)
        {
            member.next_start = Some(at);
        }
    }
}

impl<T: EntryVisitor> Entries<T> {
    #[inline(always)]
    fn whole(&mut self, part: Part, start: u64, raw: &[u8], chunk: &Chunk<'_>) -> Result<()> {
        let end = start + raw.len() as u64;
        let span = Span { start, end };
        let captured = (raw.len() <= CAPTURE_BYTES).then_some(raw);
        match part {
            Part::Key => {
                self.begin_entry(span.start);
                self.note_key(span, raw, chunk);
            }
            Part::Name => {
                self.next_member_starts(span.start);
                self.note_name(span, unquoted(raw), false);
            }
            Part::Field(shape) => self.note_field(shape, span, captured, chunk),
            Part::Entry(_) => {
                self.begin_value(span.start, false);
                self.end_entry(span.end, chunk)?;
            }
        }
        Ok(())
    }

    /// Notes a part that the end of the piece cuts.
    fn begin(&mut self, part: Part, at: u64) {
        match part {
            Part::Key => {
                self.begin_entry(at);
                self.capture.begin(at);
            }
            Part::Name => {
                self.next_member_starts(at);
                self.capture.begin(at);
            }
            Part::Field(shape) => {
                if self.known.is_some() && matches!(shape, Shape::String | Shape::Scalar) {
                    self.capture.begin(at);
                }
            }
            Part::Entry(_) => self.begin_value(at, false),
        }
        self.open = Some((part, at));
    }

    /// Notes the end of a part that was cut.
    fn end(&mut self, part: Part, span: Span, chunk: &Chunk<'_>) -> Result<()> {
        let mut capture = std::mem::take(&mut self.capture);
        match part {
            Part::Key => self.end_key(&mut capture, span.end, chunk),
            Part::Name => {
                let inside = capture.end(span.end, chunk).map_or(&[][..], unquoted);
                self.note_name(span, inside, true);
            }
            Part::Field(shape) => {
                let captured = capture.end(span.end, chunk);
                self.note_field(shape, span, captured, chunk);
            }
            Part::Entry(_) => self.end_entry(span.end, chunk)?,
        }
        self.capture = capture;
        Ok(())
    }

    #[inline]
    fn begin_value(&mut self, at: u64, is_object: bool) {
        self.entry.places.value.start = at;
        self.entry.fields.is_object = is_object;
        self.ordinal = 0;
        self.previous_end = at + 1;
    }

    #[inline(always)]
    fn end_entry(&mut self, at: u64, chunk: &Chunk<'_>) -> Result<()> {
        self.entry.places.span.end = at;
        self.entry.places.value.end = at;
        self.in_member = false;
        if let Some(from) = self.hashed_to.take() {
            self.hash.write(chunk.slice(from, at));
            self.entry.hash = Some(self.hash.finish_128());
        }
        self.inner.entry(&self.entry, chunk)
    }
}

impl<T: EntryVisitor> Visitor for Entries<T> {
    #[inline(always)]
    fn event(&mut self, event: Event<'_>, chunk: &Chunk<'_>) -> Result<()> {
        match event {
            Event::Whole(part, start, raw) => self.whole(part, start, raw, chunk),
            Event::ObjectBegin(at) => {
                self.begin_value(at, true);
                Ok(())
            }
            Event::ObjectEnd(at) => self.end_entry(at, chunk),
            Event::Begin(part, at) => {
                self.begin(part, at);
                Ok(())
            }
            Event::End(end) => match self.open.take() {
                Some((part, start)) => self.end(part, Span { start, end }, chunk),
                None => Ok(()), // never: only what has begun ends
            },
            Event::RootEnd(at) => self.inner.root_end(at),
        }
    }

    fn chunk_end(&mut self, chunk: &Chunk<'_>) {
        let end = chunk.end();
        if self.in_member {
            let from = self.hashed_to.replace(end).unwrap_or_else(|| {
                self.hash = XxHash3_128::new();
                self.entry.places.span.start
            });
            self.hash.write(chunk.slice(from, end));
            self.keep_name(chunk);
            let is_whole = !matches!(self.open, Some((Part::Key, _)));
            if is_whole && self.entry.kept_key.is_none() {
                let Span { start, end } = self.entry.places.key;
                self.keep_key(chunk.whole(start, end), self.entry.places.key.inside(chunk));
            }
        }
        if self.capture.from.is_some() {
            let first = self.capture.carried.is_empty();
            let piece = self.capture.carry(chunk);
            if matches!(self.open, Some((Part::Key, _))) {
                self.fingerprint
                    .feed(piece.get(usize::from(first)..).unwrap_or_default());
            }
        }
    }
}
