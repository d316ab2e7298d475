//! From lexer events to entries: where each lies, and what its top-level fields say.

use crate::bytes::lex::{unquoted, Chunk, Event, Part, Shape, Visitor};
use crate::entry::key::{self, Fingerprint, Parsed};
use crate::input::error::Result;
use crate::input::limits::CAPTURE_BYTES;
use twox_hash::XxHash3_128;

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
    fn inside<'c>(self, chunk: &Chunk<'c>) -> &'c [u8] {
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

/// `status` as the gateway writes it. It is not evidence by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// No such field.
    Absent,
    /// `"running"`
    Running,
    /// `"done"`
    Done,
    /// `"failed"`
    Failed,
    /// `"killed"`
    Killed,
    /// `"timeout"`
    Timeout,
    /// Anything else.
    Other,
}

impl Status {
    /// All values, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Absent,
        Self::Running,
        Self::Done,
        Self::Failed,
        Self::Killed,
        Self::Timeout,
        Self::Other,
    ];

    /// Returns the value's text; `-` for none.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Absent => "-",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Killed => "killed",
            Self::Timeout => "timeout",
            Self::Other => "other",
        }
    }

    /// Reads the text of the field.
    #[must_use]
    pub fn from_text(text: &[u8]) -> Self {
        Self::ALL
            .into_iter()
            .skip(1)
            .find(|status| *status != Self::Other && status.name().as_bytes() == text)
            .unwrap_or(Self::Other)
    }
}

/// The fields that are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
enum Known {
    SessionId,
    SessionFile,
    UpdatedAt,
    StartedAt,
    EndedAt,
    RuntimeMs,
    Status,
    Skills,
    Report,
}

impl Known {
    const NAMES: [(&'static [u8], Self); 9] = [
        (b"updatedAt", Self::UpdatedAt), // first: every entry has it
        (b"sessionId", Self::SessionId),
        (b"sessionFile", Self::SessionFile),
        (b"startedAt", Self::StartedAt),
        (b"endedAt", Self::EndedAt),
        (b"runtimeMs", Self::RuntimeMs),
        (b"status", Self::Status),
        (b"skillsSnapshot", Self::Skills),
        (b"systemPromptReport", Self::Report),
    ];

    /// Its bit among those of the fields that an entry has.
    const fn bit(self) -> u16 {
        1 << self as u16
    }

    #[inline(always)] // unrolled: each comparison is one of words, not of bytes
    fn from_name(name: &[u8]) -> Option<Self> {
        let is_it = |(known, _): &&(&[u8], Self)| *known == name;
        Self::NAMES.iter().find(is_it).map(|(_, known)| *known)
    }
}

/// Fields that a person may have set on a session. A run that has one is neither capped nor
/// slimmed. It expires like others, as it does for the gateway's own reaper: the gateway makes a
/// run's entry a copy of its job's, overrides included, and that one is never removed by a rule.
///
/// Source: `SessionEntry` in the gateway's `src/config/sessions/types.ts`; the copy is made by
/// `resolveCronSession`.
const OVERRIDES: [&[u8]; 20] = [
    b"providerOverride",
    b"modelOverride",
    b"authProfileOverride",
    b"thinkingLevel",
    b"fastMode",
    b"verboseLevel",
    b"reasoningLevel",
    b"elevatedLevel",
    b"traceLevel",
    b"ttsAuto",
    b"execHost",
    b"execSecurity",
    b"execAsk",
    b"execNode",
    b"responseUsage",
    b"sendPolicy",
    b"groupActivation",
    b"queueMode",
    b"queueCap",
    b"queueDrop",
];

/// The key of an entry.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    /// What it says, unescaped; empty when it is odd.
    pub text: &'a str,
    /// It is longer than is captured, or not Unicode.
    pub is_odd: bool,
    /// Fingerprint of what it says.
    pub fingerprint: u64,
    /// What it says, taken apart.
    pub parsed: Parsed<'a>,
}

/// A key out of the input; no text if it is odd.
#[derive(Debug, Default)]
struct KeptKey {
    text: Option<String>,
    fingerprint: u64,
}

/// One entry of the store; strings are unescaped, and empty where absent or too long.
#[derive(Debug, Default)]
pub struct Entry {
    /// Key quote to value end.
    pub span: Span,
    /// The value alone.
    pub value: Span,
    /// The key with its quotes, where it is in the input.
    key_span: Span,
    /// What the key says, if it has escapes or does not lie in the piece that the entry ends in.
    kept_key: Option<KeptKey>,
    seed: u64,
    /// The value is an object.
    pub is_object: bool,
    /// A looked-at field occurs twice, or has a type it should not have.
    pub odd: bool,
    /// A person chose something for this session.
    pub has_override: bool,
    /// `sessionId`
    pub session_id: String,
    /// `sessionFile`
    pub session_file: String,
    /// `updatedAt`, ms
    pub updated_at: Option<i64>,
    /// `startedAt`, ms
    pub started_at: Option<i64>,
    /// `endedAt`, ms
    pub ended_at: Option<i64>,
    /// `status`
    pub status: Option<Status>,
    /// Where `status` is.
    pub status_member: Option<Member>,
    /// Where `endedAt` is.
    pub ended_member: Option<Member>,
    /// Where `runtimeMs` is.
    pub runtime_member: Option<Member>,
    /// Where `skillsSnapshot` is.
    pub skills: Option<Member>,
    /// Where `systemPromptReport` is.
    pub report: Option<Member>,
    /// XXH3-128 of the member, if it does not lie in one piece of the input.
    hash: Option<u128>,
}

impl Entry {
    /// Returns `status`, `Absent` where there is none.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.unwrap_or(Status::Absent)
    }

    /// Returns the XXH3-128 of the whole member. `chunk` is the piece that it ends in: only who
    /// asks pays.
    #[must_use]
    pub fn member_hash(&self, chunk: &Chunk<'_>) -> u128 {
        self.hash
            .unwrap_or_else(|| XxHash3_128::oneshot(chunk.slice(self.span.start, self.span.end)))
    }

    /// Returns the key. `chunk` is the piece that the entry ends in: only who asks pays.
    #[must_use]
    pub fn key<'a>(&'a self, chunk: &Chunk<'a>) -> Key<'a> {
        let (text, fingerprint) = if let Some(kept) = &self.kept_key {
            (kept.text.as_deref(), kept.fingerprint)
        } else {
            let inside = self.key_span.inside(chunk);
            // Unicode, unless the lexer was told to know the bytes and they are others now.
            let text = std::str::from_utf8(inside).ok();
            (text, key::fingerprint(self.seed, inside))
        };
        let is_odd = text.is_none();
        let text = text.unwrap_or_default();
        Key {
            text,
            is_odd,
            fingerprint,
            parsed: key::parse(text),
        }
    }

    /// Empties it for the next entry: what `met` has a bit for, and what has none. Field by field: a
    /// new one would be copied here whole, which a store of tiny entries feels.
    #[inline(always)]
    fn clear(&mut self, met: u16) {
        let Self {
            span: _, // all four are set for every entry
            value: _,
            is_object: _,
            key_span: _,
            seed: _,
            kept_key,
            odd,
            has_override,
            session_id,
            session_file,
            updated_at,
            started_at,
            ended_at,
            status,
            status_member,
            ended_member,
            runtime_member,
            skills,
            report,
            hash,
        } = self;
        *hash = None;
        *kept_key = None;
        (*odd, *has_override) = (false, false);
        for time in [updated_at, started_at, ended_at] {
            *time = None;
        }
        if met & !(Known::UpdatedAt.bit() | Known::StartedAt.bit()) == 0 {
            return;
        }
        session_id.clear();
        session_file.clear();
        *status = None;
        for member in [status_member, ended_member, runtime_member, skills, report] {
            *member = None;
        }
    }
}

/// Hears of whole entries, in file order.
pub trait EntryVisitor {
    /// An entry has ended. `chunk` is the piece of input that holds its last byte.
    ///
    /// # Errors
    ///
    /// Ends the pass.
    fn entry(&mut self, entry: &Entry, chunk: &Chunk<'_>) -> Result<()>;
    /// A top-level field of the current entry has ended; `name` is raw and perhaps cut short.
    fn field(&mut self, name: &[u8], bytes: u64) {
        let _ = (name, bytes);
    }
    /// The root object closes at `at`.
    ///
    /// # Errors
    ///
    /// Ends the pass.
    fn root_end(&mut self, at: u64) -> Result<()> {
        let _ = at;
        Ok(())
    }
}

/// A string or scalar as it streams by. What lies in one piece of the input is looked at where it
/// lies; of what does not, the first bytes are kept.
#[derive(Default)]
struct Capture {
    /// Its bytes in pieces before.
    carried: Vec<u8>,
    /// Where the next piece begins; `None` when nothing is captured.
    from: Option<u64>,
    cut: bool,
}

impl Capture {
    #[inline]
    fn begin(&mut self, at: u64) {
        self.carried.clear();
        self.cut = false;
        self.from = Some(at);
    }

    /// The chunk is used up: keeps what there is of it, and returns that.
    fn carry<'c>(&mut self, chunk: &Chunk<'c>) -> &'c [u8] {
        let end = chunk.end();
        let piece = self.from.map_or(&[][..], |from| chunk.slice(from, end));
        let room = CAPTURE_BYTES - self.carried.len();
        self.cut |= piece.len() > room;
        self.carried
            .extend_from_slice(&piece[..piece.len().min(room)]);
        self.from = Some(end);
        piece
    }

    /// Ends at `at`: returns all of it, `None` if it is too long.
    #[inline]
    fn end<'a>(&'a mut self, at: u64, chunk: &Chunk<'a>) -> Option<&'a [u8]> {
        let from = self.from?;
        let up_to = Chunk::new(chunk.base, chunk.slice(chunk.base, at));
        if self.carried.is_empty() {
            self.from = None;
            let piece = up_to.slice(from, at);
            return (piece.len() <= CAPTURE_BYTES).then_some(piece);
        }
        self.carry(&up_to);
        self.from = None;
        (!self.cut).then_some(&self.carried)
    }
}

/// The inside of a string; `None` if it is none, or was not captured whole.
#[inline]
fn inside(captured: Option<&[u8]>) -> Option<&[u8]> {
    match captured {
        Some([b'"', inside @ .., b'"']) => Some(inside),
        _ => None,
    }
}

/// Returns what a captured string says; `None` if it was not captured whole, or is not Unicode.
fn read_text(captured: Option<&[u8]>) -> Option<String> {
    let mut text = String::new();
    append_text(captured, &mut text).then_some(text)
}

/// Appends what it says, and says whether there was something to append.
#[inline]
fn append_text(captured: Option<&[u8]>, into: &mut String) -> bool {
    let Some(inside) = inside(captured) else {
        return false;
    };
    let unescaped;
    let bytes = if key::has_escape(inside) {
        unescaped = key::unescape(inside);
        &unescaped
    } else {
        inside
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            into.push_str(text);
            true
        }
        Err(_) => false,
    }
}

#[inline(always)]
fn read_millis(captured: Option<&[u8]>) -> Option<i64> {
    let bytes = captured?;
    // Nearly all are thirteen digits.
    if (1..=18).contains(&bytes.len()) {
        let value = bytes.iter().try_fold(0, |value, byte| {
            let digit = i64::from(byte.wrapping_sub(b'0'));
            (digit < 10).then_some(value * 10 + digit)
        });
        if value.is_some() {
            return value;
        }
    }
    let text = std::str::from_utf8(bytes).ok()?;
    text.parse::<i64>().ok().or_else(|| {
        let value = text.parse::<f64>().ok()?;
        // Exact below 2^53; anything else is no time.
        #[allow(clippy::cast_possible_truncation)]
        (value.abs() < 9.0e15).then_some(value as i64)
    })
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
            entry: Entry {
                seed,
                ..Entry::default()
            },
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
        self.entry.span.start = at;
        self.in_member = true;
    }

    /// Notes a key that lies in one piece, quotes included.
    #[inline(always)]
    fn note_key(&mut self, span: Span, raw: &[u8], chunk: &Chunk<'_>) {
        self.entry.key_span = span;
        let inside = unquoted(raw);
        let is_plain = span.start >= chunk.plain_from || !key::has_escape(inside);
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
        self.name_kept |= is_long || key::has_escape(inside);
        if self.name_kept {
            self.name = key::unescape(if is_long { &[] } else { inside });
            self.known = Known::from_name(&self.name);
        }
        if self.known.is_none() {
            let name = if self.name_kept { &self.name } else { inside };
            self.entry.has_override |= OVERRIDES.contains(&name);
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
            self.entry.odd |= twice || !good;
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
        let entry = &mut self.entry;
        let time = |slot: &mut Option<i64>| {
            *slot = read_millis(captured);
            slot.is_some() && shape == Shape::Scalar
        };
        let text = |slot: &mut String| {
            slot.clear(); // of two, the gateway takes the last
            shape == Shape::String && append_text(captured, slot)
        };
        match known {
            Known::SessionId => text(&mut entry.session_id),
            Known::SessionFile => text(&mut entry.session_file),
            Known::UpdatedAt => time(&mut entry.updated_at),
            Known::StartedAt => time(&mut entry.started_at),
            Known::EndedAt => {
                entry.ended_member = Some(member());
                time(&mut entry.ended_at)
            }
            Known::RuntimeMs => {
                entry.runtime_member = Some(member());
                true
            }
            Known::Status => {
                let text = read_text(captured).filter(|_| shape == Shape::String);
                let good = text.is_some();
                entry.status = Some(Status::from_text(text.unwrap_or_default().as_bytes()));
                entry.status_member = Some(member());
                good
            }
            Known::Skills => {
                entry.skills = Some(member());
                true
            }
            Known::Report => {
                entry.report = Some(member());
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
        let entry = &mut self.entry;
        let noted = [
            &mut entry.skills,
            &mut entry.report,
            &mut entry.status_member,
            &mut entry.ended_member,
            &mut entry.runtime_member,
        ];
        for member in noted
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

    /// A part is cut by the end of the piece.
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

    /// What was cut ends.
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
        self.entry.value.start = at;
        self.entry.is_object = is_object;
        self.ordinal = 0;
        self.previous_end = at + 1;
    }

    #[inline(always)]
    fn end_entry(&mut self, at: u64, chunk: &Chunk<'_>) -> Result<()> {
        self.entry.span.end = at;
        self.entry.value.end = at;
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
                self.entry.span.start
            });
            self.hash.write(chunk.slice(from, end));
            self.keep_name(chunk);
            let is_whole = !matches!(self.open, Some((Part::Key, _)));
            if is_whole && self.entry.kept_key.is_none() {
                let Span { start, end } = self.entry.key_span;
                self.keep_key(chunk.whole(start, end), self.entry.key_span.inside(chunk));
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
