//! Writes a transcript without its old images and long tool results, and the archive of the lines
//! that change.

use super::border;
use super::parser::Parser;
use super::record::{Reads, Record, What};
use super::IMAGE_BLOCK;
use crate::bytes::lex::Chunk;
use crate::entry::Span;
use crate::input::error::{Error, ErrorKind, Result};
use crate::input::io::{Control, ReadAt};
use crate::input::limits::INLINE_BYTES;
use crate::pass::scan::each_piece;
use crate::write::archive::{Header, Writer};
use crate::write::output::Output;
use serde::Serialize;
use std::borrow::Cow;
use std::io::Write;

/// What a transcript is and becomes; serialises to what Python reads.
#[derive(Debug, Default, Serialize)]
pub struct SlimNumbers {
    /// Size of the transcript.
    pub bytes: u64,
    /// Size of the new one.
    pub bytes_after: u64,
    /// Where the last completed turns begin; none if nothing is old.
    pub border: Option<u64>,
    /// Lines that change.
    pub lines: u64,
    /// Images replaced.
    pub images: u64,
    /// Texts cut.
    pub results: u64,
    /// Bytes of the images, which compress badly.
    pub image_bytes: u64,
    /// Old lines that do not read with certainty, and stay.
    pub unread: u64,
    /// XXH3-128 of the transcript in hex; empty if it was only measured.
    pub digest: String,
    /// XXH3-128 of the new one.
    pub digest_after: String,
    /// Size of the archive.
    pub archive_bytes: u64,
    /// BLAKE3 of the archive in hex.
    pub archive_digest: String,
}

/// Measures what [`slim`] would do; `name` is as there.
///
/// # Errors
///
/// `Io`, `Cancelled`.
///
/// # Memory
///
/// O(1): that of a scan.
pub fn measure(
    input: &dyn ReadAt,
    bytes: u64,
    name: &str,
    control: &Control,
) -> Result<SlimNumbers> {
    let Some(at) = border::find(input, bytes, control)?.at else {
        return Ok(SlimNumbers {
            bytes,
            bytes_after: bytes,
            ..SlimNumbers::default()
        });
    };
    let mut slimmer = Slimmer::<std::io::Sink, std::io::Sink>::new(at, name, None);
    each_piece(input, control, |chunk| {
        slimmer.take(chunk)?;
        Ok(chunk.end() < at)
    })?;
    let mut numbers = slimmer.numbers;
    (numbers.bytes, numbers.border) = (bytes, Some(at));
    numbers.bytes_after = bytes - slimmer.cut + slimmer.added;
    Ok(numbers)
}

/// Writes the slimmed transcript of `bytes` bytes to `out`, and to `archive` every line that
/// changes, as it was. `name` is what the archive is called in the texts that point to it.
///
/// # Errors
///
/// `Io`, `Cancelled`; `ErrorKind::Changed` if the transcript has another size now.
///
/// # Memory
///
/// O(1): that of a scan, and of two files being written.
pub fn slim<W: Write + Send, A: Write + Send>(
    input: &dyn ReadAt,
    bytes: u64,
    out: W,
    archive: A,
    name: &str,
    now_ms: i64,
    control: &Control,
) -> Result<SlimNumbers> {
    let border = border::find(input, bytes, control)?.at;
    std::thread::scope(|scope| {
        let mut output = Output::new(input, control, out);
        let mut archive = Writer::new(input, control, archive)?;
        if bytes >= INLINE_BYTES {
            (output, archive) = (output.threaded(scope), archive.threaded(scope));
        }
        let files = Files {
            output,
            archive,
            now_ms,
        };
        let mut slimmer = Slimmer::new(border.unwrap_or(0), name, Some(files));
        let (read, digest) = each_piece(input, control, |chunk| {
            slimmer.take(chunk)?;
            Ok(true)
        })?;
        if read != bytes {
            return Err(Error::invalid(ErrorKind::Changed, read.min(bytes)));
        }
        let mut numbers = slimmer.numbers;
        (numbers.bytes, numbers.border, numbers.digest) = (bytes, border, digest);
        if let Some(mut files) = slimmer.files {
            files.output.copy_to(bytes)?;
            (numbers.bytes_after, numbers.digest_after, _) = files.output.finish()?;
            (numbers.archive_bytes, numbers.archive_digest) = files.archive.finish()?;
        }
        if numbers.bytes_after != bytes - slimmer.cut + slimmer.added {
            return Err(Error::invalid(ErrorKind::Changed, bytes));
        }
        Ok(numbers)
    })
}

struct Files<'scope, W: Write, A: Write> {
    output: Output<'scope, W>,
    archive: Writer<'scope, A>,
    now_ms: i64,
}

struct Slimmer<'scope, W: Write, A: Write> {
    border: u64,
    name: String,
    parser: Parser,
    /// The first line is a header, whatever it says.
    is_first: bool,
    files: Option<Files<'scope, W, A>>,
    numbers: SlimNumbers,
    cut: u64,
    added: u64,
}

impl<'scope, W: Write, A: Write> Slimmer<'scope, W, A> {
    fn new(border: u64, name: &str, files: Option<Files<'scope, W, A>>) -> Self {
        Self {
            border,
            name: name.to_owned(),
            parser: Parser::new(),
            is_first: true,
            files,
            numbers: SlimNumbers::default(),
            cut: 0,
            added: 0,
        }
    }

    fn take(&mut self, chunk: &Chunk<'_>) -> Result<()> {
        if let Some(files) = &mut self.files {
            files.output.hold(chunk);
            files.archive.hold(chunk);
        }
        let bytes = chunk.slice(chunk.base, self.border);
        let mut at = 0;
        while at < bytes.len() {
            let base = chunk.base + at as u64;
            let (took, ended) = self.parser.feed(&bytes[at..], base, chunk.is_ascii);
            at += took;
            if ended {
                self.line()?;
                self.parser.begin(chunk.base + at as u64);
            }
        }
        Ok(())
    }

    fn line(&mut self) -> Result<()> {
        let record = &self.parser.record;
        self.numbers.unread += u64::from(record.reads == Reads::Not);
        if std::mem::take(&mut self.is_first) || record.edits.is_empty() {
            return Ok(());
        }
        let (mut cut, mut added) = (0, 0);
        for edit in &record.edits {
            cut += edit.end - edit.start;
            added += replacement(edit.what, &self.name).len() as u64;
            match edit.what {
                What::Image => {
                    self.numbers.images += 1;
                    self.numbers.image_bytes += edit.end - edit.start;
                }
                What::Rest(_) => self.numbers.results += 1,
            }
        }
        self.numbers.lines += 1;
        if let Some(files) = &mut self.files {
            files.write(record, &self.name, added + record.end - record.start - cut)?;
        }
        self.cut += cut;
        self.added += added;
        Ok(())
    }
}

impl<W: Write, A: Write> Files<'_, W, A> {
    fn write(&mut self, record: &Record, name: &str, after_bytes: u64) -> Result<()> {
        let span = Span {
            start: record.start,
            end: record.end,
        };
        let id = record.id.as_ref().map_or(&b""[..], |id| id.as_bytes());
        let header = Header {
            key: String::from_utf8_lossy(id).into_owned(),
            rule: "slim".to_owned(),
            time_ms: self.now_ms,
            at: span.start,
            bytes: span.len(),
            lead: 0,
            trail: 0,
            session: None,
            file: None,
            job: None,
            after: None,
            after_bytes,
        };
        self.archive.add(&header, span)?;
        for edit in &record.edits {
            let span = Span {
                start: edit.start,
                end: edit.end,
            };
            self.output
                .replace(span, replacement(edit.what, name).as_bytes())?;
        }
        Ok(())
    }
}

/// Returns what stands in a line instead, as JSON.
pub(super) fn replacement(what: What, name: &str) -> Cow<'static, str> {
    match what {
        What::Image => Cow::Borrowed(IMAGE_BLOCK),
        What::Rest(chars) => Cow::Owned(format!(
            "\\n[tailflip: {chars} characters of an old tool result are in archive {name}]"
        )),
    }
}
