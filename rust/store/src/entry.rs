//! From lexer events to entries: where each lies, and what its top-level fields say.

use crate::error::Result;
use crate::key::{self, Fingerprint, Parsed};
use crate::lex::{Chunk, Part, Shape, Visitor};
use crate::limits::CAPTURE_BYTES;
use xxhash_rust::xxh3::{xxh3_128, Xxh3};

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
    fn from_name(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"sessionId" => Self::SessionId,
            b"sessionFile" => Self::SessionFile,
            b"updatedAt" => Self::UpdatedAt,
            b"startedAt" => Self::StartedAt,
            b"endedAt" => Self::EndedAt,
            b"runtimeMs" => Self::RuntimeMs,
            b"status" => Self::Status,
            b"skillsSnapshot" => Self::Skills,
            b"systemPromptReport" => Self::Report,
            _ => return None,
        })
    }
}

/// Fields that a person set on a session; an entry that has one is never removed by a rule.
///
/// Source: `SessionEntry` in the gateway's `src/config/sessions/types.ts`.
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

#[allow(clippy::struct_excessive_bools)] // four independent facts
/// One entry of the store; strings are unescaped, and empty where absent or too long.
#[derive(Debug, Default)]
pub struct Entry {
    /// Key quote to value end.
    pub span: Span,
    /// The value alone.
    pub value: Span,
    /// The key, unescaped; meaningless when `key_truncated`.
    pub key: String,
    /// The key is longer than is captured, or not Unicode.
    pub key_odd: bool,
    /// Fingerprint of the unescaped key.
    pub fingerprint: u64,
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
    pub fn member_hash(&self, chunk: Chunk<'_>) -> u128 {
        self.hash
            .unwrap_or_else(|| xxh3_128(chunk.slice(self.span.start, self.span.end)))
    }

    /// Takes the key apart.
    #[must_use]
    pub fn parsed(&self) -> Parsed<'_> {
        if self.key_odd {
            return key::parse("");
        }
        key::parse(&self.key)
    }

    /// Empties it for the next entry. Field by field: a new one would be copied here whole, which
    /// a store of tiny entries feels.
    fn clear(&mut self) {
        let Self {
            span: _, // all three are set for every entry
            value: _,
            is_object: _,
            fingerprint: _,
            key_odd: _,
            key,
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
        for text in [key, session_id, session_file] {
            text.clear();
        }
        (*odd, *has_override) = (false, false);
        for time in [updated_at, started_at, ended_at] {
            *time = None;
        }
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
    fn entry(&mut self, entry: &Entry, chunk: Chunk<'_>) -> Result<()>;
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
    fn carry<'c>(&mut self, chunk: Chunk<'c>) -> &'c [u8] {
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
    fn end<'a>(&'a mut self, at: u64, chunk: Chunk<'a>) -> Option<&'a [u8]> {
        let from = self.from?;
        let up_to = Chunk::new(chunk.base, chunk.slice(chunk.base, at));
        if self.carried.is_empty() {
            self.from = None;
            let piece = up_to.slice(from, at);
            return (piece.len() <= CAPTURE_BYTES).then_some(piece);
        }
        self.carry(up_to);
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

/// Appends a captured string; false if it was not captured whole, or is not Unicode.
#[inline]
fn read_text(captured: Option<&[u8]>, into: &mut String) -> bool {
    let Some(inside) = inside(captured) else {
        return false;
    };
    let unescaped;
    let bytes = if inside.contains(&b'\\') {
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

fn read_millis(captured: Option<&[u8]>) -> Option<i64> {
    let bytes = captured?;
    // Nearly all are thirteen digits.
    if (1..=18).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_digit) {
        let digits = bytes.iter();
        return Some(digits.fold(0, |value, digit| value * 10 + i64::from(digit - b'0')));
    }
    let text = std::str::from_utf8(bytes).ok()?;
    text.parse::<i64>().ok().or_else(|| {
        let value = text.parse::<f64>().ok()?;
        // Exact below 2^53; anything else is no time.
        #[allow(clippy::cast_possible_truncation)]
        (value.abs() < 9.0e15).then_some(value as i64)
    })
}

/// What is open, outermost first: at most an entry, and in it a name or a field.
#[derive(Default)]
struct Open {
    parts: [Option<Part>; 2],
    len: usize,
}

impl Open {
    #[inline]
    fn push(&mut self, part: Part) {
        if let Some(slot) = self.parts.get_mut(self.len) {
            *slot = Some(part);
        }
        self.len += 1;
    }

    #[inline]
    fn pop(&mut self) -> Option<Part> {
        self.len = self.len.saturating_sub(1);
        self.parts.get_mut(self.len)?.take()
    }

    fn last(&self) -> Option<Part> {
        *self.parts.get(self.len.checked_sub(1)?)?
    }
}

/// Assembles entries from lexer events and passes them to `inner`.
pub struct Entries<T> {
    /// Who hears of the entries.
    pub inner: T,
    entry: Entry,
    seed: u64,
    /// Of a key that needs more than one call: cut by the end of a buffer, or with escapes.
    fingerprint: Fingerprint,
    capture: Capture,
    open: Open,
    /// A key has begun, and its value has not ended.
    in_member: bool,
    known: Option<Known>,
    name: Vec<u8>,
    name_span: Span,
    value_start: u64,
    ordinal: u32,
    previous_end: u64,
    /// Of the current member's pieces before this one, and where they end.
    hash: Xxh3,
    hashed_to: Option<u64>,
}

impl<T: EntryVisitor> Entries<T> {
    /// Makes one; `seed` is that of the key fingerprints.
    pub fn new(inner: T, seed: u64) -> Self {
        Self {
            inner,
            entry: Entry::default(),
            seed,
            fingerprint: Fingerprint::new(seed),
            capture: Capture::default(),
            open: Open::default(),
            in_member: false,
            known: None,
            name: Vec::new(),
            name_span: Span::default(),
            value_start: 0,
            ordinal: 0,
            previous_end: 0,
            hash: Xxh3::new(),
            hashed_to: None,
        }
    }

    fn begin_entry(&mut self, at: u64) {
        self.entry.clear();
        self.entry.span.start = at;
        self.in_member = true;
    }

    /// Notes a key that lies in one piece, quotes included.
    fn note_key(&mut self, raw: &[u8]) {
        let inside = &raw[1..raw.len() - 1];
        if inside.contains(&b'\\') || raw.len() > CAPTURE_BYTES {
            self.fingerprint.feed(inside);
            self.entry.fingerprint = self.fingerprint.take();
            let captured = (raw.len() <= CAPTURE_BYTES).then_some(raw);
            self.entry.key_odd = !read_text(captured, &mut self.entry.key);
            return;
        }
        self.entry.fingerprint = key::fingerprint(self.seed, inside);
        let text = std::str::from_utf8(inside);
        self.entry.key_odd = text.is_err();
        self.entry.key.push_str(text.unwrap_or_default());
    }

    fn end_key(&mut self, at: u64, chunk: Chunk<'_>) {
        let piece = chunk.slice(self.capture.from.unwrap_or(at), at);
        if self.capture.carried.is_empty() {
            self.capture.from = None;
            self.note_key(piece);
            return;
        }
        // Without its last quote; the first is gone.
        self.fingerprint.feed(&piece[..piece.len() - 1]);
        self.entry.fingerprint = self.fingerprint.take();
        let captured = self.capture.end(at, chunk);
        self.entry.key_odd = !read_text(captured, &mut self.entry.key);
    }

    fn note_name(&mut self, span: Span, captured: Option<&[u8]>) {
        self.name_span = span;
        self.name.clear();
        let inside = inside(captured).unwrap_or_default();
        if inside.contains(&b'\\') {
            self.name.extend(key::unescape(inside));
        } else {
            self.name.extend_from_slice(inside);
        }
        self.known = Known::from_name(&self.name);
        self.entry.has_override |=
            self.known.is_none() && OVERRIDES.contains(&self.name.as_slice());
    }

    fn note_field(&mut self, shape: Shape, value: Span, captured: Option<&[u8]>) {
        let member = Member {
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
        self.inner.field(&self.name, member.span.len());
        if let Some(known) = self.known {
            self.entry.odd |= self.learn(known, shape, member, captured);
        }
        self.ordinal += 1;
        self.previous_end = value.end;
    }

    /// Notes a looked-at field; true when it is not as it should be.
    fn learn(
        &mut self,
        known: Known,
        shape: Shape,
        member: Member,
        captured: Option<&[u8]>,
    ) -> bool {
        let entry = &mut self.entry;
        let time = |slot: &mut Option<i64>| {
            let twice = slot.is_some();
            *slot = read_millis(captured);
            twice || slot.is_none() || shape != Shape::Scalar
        };
        match known {
            Known::SessionId | Known::SessionFile => {
                let slot = if known == Known::SessionId {
                    &mut entry.session_id
                } else {
                    &mut entry.session_file
                };
                let twice = !slot.is_empty();
                twice || shape != Shape::String || !read_text(captured, slot)
            }
            Known::UpdatedAt => time(&mut entry.updated_at),
            Known::StartedAt => time(&mut entry.started_at),
            Known::EndedAt => {
                time(&mut entry.ended_at) | entry.ended_member.replace(member).is_some()
            }
            Known::RuntimeMs => entry.runtime_member.replace(member).is_some(),
            Known::Status => {
                let mut text = String::new();
                let good = shape == Shape::String && read_text(captured, &mut text);
                entry.status = Some(Status::from_text(text.as_bytes()));
                entry.status_member.replace(member).is_some() || !good
            }
            Known::Skills => entry.skills.replace(member).is_some(),
            Known::Report => entry.report.replace(member).is_some(),
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

impl<T: EntryVisitor> Visitor for Entries<T> {
    fn begin(&mut self, part: Part, at: u64, chunk: Chunk<'_>) {
        let _ = chunk;
        match part {
            Part::Key => {
                self.begin_entry(at);
                self.capture.begin(at);
            }
            Part::Entry(shape) => {
                self.entry.value.start = at;
                self.entry.is_object = shape == Shape::Object;
                self.ordinal = 0;
                self.previous_end = at + 1;
            }
            Part::Name => {
                self.next_member_starts(at);
                self.name_span.start = at;
                self.capture.begin(at);
            }
            Part::Field(shape) => {
                self.value_start = at;
                if self.known.is_some() && matches!(shape, Shape::String | Shape::Scalar) {
                    self.capture.begin(at);
                }
            }
        }
        self.open.push(part);
    }

    fn end(&mut self, at: u64, chunk: Chunk<'_>) -> Result<()> {
        match self.open.pop() {
            Some(Part::Key) => self.end_key(at, chunk),
            Some(Part::Name) => {
                let span = Span {
                    start: self.name_span.start,
                    end: at,
                };
                let mut capture = std::mem::take(&mut self.capture);
                self.note_name(span, capture.end(at, chunk));
                self.capture = capture;
            }
            Some(Part::Field(shape)) => {
                let value = Span {
                    start: self.value_start,
                    end: at,
                };
                let mut capture = std::mem::take(&mut self.capture);
                self.note_field(shape, value, capture.end(at, chunk));
                self.capture = capture;
            }
            Some(Part::Entry(_)) => {
                self.entry.span.end = at;
                self.entry.value.end = at;
                self.in_member = false;
                if let Some(from) = self.hashed_to.take() {
                    self.hash.update(chunk.slice(from, at));
                    self.entry.hash = Some(self.hash.digest128());
                }
                self.inner.entry(&self.entry, chunk)?;
            }
            None => {}
        }
        Ok(())
    }

    fn whole(&mut self, part: Part, from: u64, to: u64, chunk: Chunk<'_>) -> Result<()> {
        let span = Span {
            start: from,
            end: to,
        };
        let raw = chunk.slice(from, to);
        let captured = (raw.len() <= CAPTURE_BYTES).then_some(raw);
        match part {
            Part::Key => {
                self.begin_entry(from);
                self.note_key(raw);
            }
            Part::Name => {
                self.next_member_starts(from);
                self.note_name(span, captured);
            }
            Part::Field(shape) => self.note_field(shape, span, captured),
            Part::Entry(_) => {
                self.begin(part, from, chunk);
                self.end(to, chunk)?;
            }
        }
        Ok(())
    }

    fn chunk_end(&mut self, chunk: Chunk<'_>) {
        let end = chunk.end();
        if self.in_member {
            let from = self.hashed_to.replace(end).unwrap_or_else(|| {
                self.hash.reset();
                self.entry.span.start
            });
            self.hash.update(chunk.slice(from, end));
        }
        if self.capture.from.is_some() {
            let first = self.capture.carried.is_empty();
            let piece = self.capture.carry(chunk);
            if self.open.last() == Some(Part::Key) {
                self.fingerprint
                    .feed(piece.get(usize::from(first)..).unwrap_or_default());
            }
        }
    }

    fn root_end(&mut self, at: u64, _: Chunk<'_>) -> Result<()> {
        self.inner.root_end(at)
    }
}
