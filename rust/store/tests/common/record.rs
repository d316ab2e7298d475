//! What a scan tells of a document: the lexer, for comparison with what the oracle sees, and the
//! layer above it, for comparison with itself.

use super::common::Seen;
use tailflip_store::bytes::lex::{Chunk, Event, Lexer, Part, Shape, Visitor};
use tailflip_store::entry::{Entries, Entry, EntryVisitor};
use tailflip_store::input::error::Result;
use tailflip_store::input::io::Control;
use tailflip_store::pass::scan::scan_with;

/// Records what the lexer tells, field names included.
#[derive(Default)]
struct Record {
    input: Vec<u8>,
    open: Vec<(Part, u64)>,
    name: String,
    seen: Vec<Seen>,
}

impl Record {
    fn part(&mut self, part: Part, from: u64, to: u64) {
        let (from, to) = (from as usize, to as usize);
        if part == Part::Key {
            self.seen.push(Seen {
                span: (from, 0),
                fields: Vec::new(),
            });
        }
        let last = self.seen.last_mut().expect("an entry is open");
        match part {
            Part::Key => {}
            Part::Entry(_) => last.span.1 = to,
            Part::Name => self.name = String::from_utf8_lossy(&self.input[from..to]).into_owned(),
            Part::Field(_) => last.fields.push((self.name.clone(), (from, to))),
        }
    }
}

impl Visitor for Record {
    fn event(&mut self, event: Event<'_>, chunk: &Chunk<'_>) -> Result<()> {
        match event {
            Event::Whole(part, from, bytes) => {
                let to = from + bytes.len() as u64;
                assert!(chunk.base <= from && from < to && to <= chunk.end());
                assert_eq!(bytes, &self.input[from as usize..to as usize]);
                self.part(part, from, to);
            }
            Event::Begin(part, at) => self.open.push((part, at)),
            Event::ObjectBegin(at) => self.open.push((Part::Entry(Shape::Object), at)),
            Event::End(at) | Event::ObjectEnd(at) => {
                let (part, from) = self.open.pop().expect("something is open");
                self.part(part, from, at);
            }
            Event::RootEnd(at) => assert_eq!(self.input[at as usize], b'}'),
        }
        Ok(())
    }

    fn chunk_end(&mut self, _: &Chunk<'_>) {}
}

/// Scans a document in pieces of `buffer` bytes; returns what was told.
pub fn run(input: &[u8], lexer: Lexer, buffer: usize) -> Result<Vec<Seen>> {
    let mut record = Record {
        input: input.to_vec(),
        ..Record::default()
    };
    scan_with(
        lexer,
        buffer,
        &input.to_vec(),
        &Control::default(),
        &mut record,
    )?;
    Ok(record.seen)
}

#[derive(Default)]
struct Facts(Vec<String>);

impl EntryVisitor for Facts {
    fn entry(&mut self, entry: &Entry, chunk: &Chunk<'_>) -> Result<()> {
        let key = entry.key(chunk);
        let places = (
            entry.places.span,
            entry.places.value,
            entry.member_hash(chunk),
            key,
        );
        let ends = (
            entry.fields.status,
            entry.fields.updated_ms,
            entry.fields.started_ms,
            entry.fields.ended_ms,
        );
        let texts = (&entry.fields.session_id, &entry.fields.session_file);
        let flags = (
            entry.fields.is_object,
            entry.fields.is_odd,
            entry.fields.has_override,
        );
        let members = [
            entry.places.members.status,
            entry.places.members.ended,
            entry.places.members.runtime,
        ];
        let large = entry.places.members.bulk();
        let fact = format!("{places:?} {ends:?} {texts:?} {flags:?} {members:?} {large:?}");
        self.0.push(fact);
        Ok(())
    }

    fn field(&mut self, name: &[u8], bytes: u64) {
        self.0.push(format!("{} {bytes}", name.escape_ascii()));
    }

    fn root_end(&mut self, at: u64) -> Result<()> {
        self.0.push(at.to_string());
        Ok(())
    }
}

/// Scans a document in pieces of `buffer` bytes; returns all that rules could ask of its entries.
pub fn facts(input: &[u8], lexer: Lexer, buffer: usize) -> Result<Vec<String>> {
    let mut entries = Entries::new(Facts::default(), 1);
    let input = input.to_vec();
    scan_with(lexer, buffer, &input, &Control::default(), &mut entries)?;
    Ok(entries.inner.0)
}
