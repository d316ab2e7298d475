//! The archive: one zstd stream of records, each a JSON header line and raw bytes.
//!
//! The first line names the format. After each record's raw bytes comes one line feed, so that
//! `zstdcat` output can be read by a person.

use crate::bytes::lex::Chunk;
use crate::entry::Span;
use crate::input::digest::Digesting;
use crate::input::error::{Error, ErrorKind, Result};
use crate::input::io::{Control, ReadAt};
use crate::write::splice::Splicer;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::thread::Scope;

/// The stream's first line, without its line feed.
pub const MAGIC: &str = r#"{"tailflip":"archive","version":1}"#;

/// Compressed bytes written at a time.
const OUT_BYTES: usize = 64 * 1024;

/// Largest window that is accepted, as a power of two: far more than what writes it needs.
pub(crate) const WINDOW_LOG: u32 = 23;

/// Longest header line that is read back: three captured strings of 4 KiB, each byte escaped.
const HEADER_BYTES: u64 = 128 * 1024;

/// What is known of one archived member; serialises to its header line.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Header {
    /// The entry's key.
    pub key: String,
    /// Which rule.
    pub rule: String,
    /// When, ms.
    pub time_ms: i64,
    /// Original offset of the raw bytes.
    pub at: u64,
    /// Their number.
    pub bytes: u64,
    /// Separators before the member.
    pub lead: u64,
    /// Separators after it.
    pub trail: u64,
    /// `sessionId`
    pub session: Option<String>,
    /// `sessionFile`
    pub file: Option<String>,
    /// Cron job.
    pub job: Option<String>,
    /// BLAKE3 of the member as it stays in the store, if it does.
    pub after: Option<String>,
    /// Its length there.
    pub after_bytes: u64,
}

/// Writes an archive of ranges of a store.
///
/// # Memory
///
/// O(1): zstd at level 1 holds about 1 MiB.
pub(crate) struct Writer<'scope, W: Write> {
    out: Splicer<'scope, Encoder<W>>,
    /// Records written.
    pub(crate) records: u64,
    /// Bytes before compression.
    pub(crate) raw_bytes: u64,
}

/// Buffered, because the encoder hands over each block as soon as it is compressed.
pub(crate) type Encoder<W> = zstd::Encoder<'static, BufWriter<Digesting<W, blake3::Hasher>>>;

/// Starts a stream with the line that names the format.
fn begin<W: Write>(out: W) -> Result<Encoder<W>> {
    let out = BufWriter::with_capacity(OUT_BYTES, Digesting::new(out));
    let mut out = zstd::Encoder::new(out, 1)?;
    out.include_checksum(true)?;
    writeln!(out, "{MAGIC}")?;
    Ok(out)
}

impl<'scope, W: Write> Writer<'scope, W> {
    /// Starts an archive on `out`, of ranges of `input`.
    pub(crate) fn new(input: &'scope dyn ReadAt, control: &'scope Control, out: W) -> Result<Self> {
        Ok(Self {
            out: Splicer::inline(input, control, begin(out)?),
            records: 0,
            raw_bytes: MAGIC.len() as u64 + 1,
        })
    }

    /// Compresses and writes on a thread of its own.
    pub(crate) fn threaded(mut self, scope: &'scope Scope<'scope, '_>) -> Self
    where
        W: Send + 'scope,
    {
        self.out = self.out.threaded(scope, "tailflip-archive");
        self
    }

    /// Says which piece of the input is looked at now.
    pub(crate) fn hold(&mut self, chunk: &Chunk<'_>) {
        self.out.hold(chunk);
    }

    /// Says whether it has enough to do for now.
    pub(crate) fn is_behind(&self) -> bool {
        self.out.is_behind()
    }

    /// Adds a record: `span` of the input, which `header` describes.
    pub(crate) fn add(&mut self, header: &Header, span: Span) -> Result<()> {
        self.records += 1;
        let line = serde_json::to_string(header).map_err(std::io::Error::from)?;
        self.raw_bytes += line.len() as u64 + span.len() + 2;
        self.out.text(line.as_bytes())?;
        self.out.text(b"\n")?;
        self.out.range(span)?;
        self.out.text(b"\n")
    }

    /// Ends the stream; returns its compressed size and digest.
    pub(crate) fn finish(self) -> Result<(u64, String)> {
        let mut out = self.out.finish()?.finish()?;
        out.flush()?;
        Ok(out.get_ref().finish())
    }
}

/// Writes an archive of bytes that the caller has, such as rows of a database.
///
/// # Memory
///
/// O(1): zstd at level 1 holds about 1 MiB.
pub struct RecordWriter<W: Write> {
    out: Encoder<W>,
    /// Raw bytes of the current record that are still to come.
    left: u64,
    records: u64,
    raw_bytes: u64,
}

impl<W: Write> RecordWriter<W> {
    /// Starts an archive on `out`.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub fn new(out: W) -> Result<Self> {
        Ok(Self {
            out: begin(out)?,
            left: 0,
            records: 0,
            raw_bytes: 0,
        })
    }

    /// Begins a record, of as many raw bytes as `header` says.
    ///
    /// # Errors
    ///
    /// `Io`; `InvalidInput` if bytes of the record before are missing.
    pub fn begin(&mut self, header: &Header) -> Result<()> {
        self.expect(0)?;
        serde_json::to_writer(&mut self.out, header).map_err(std::io::Error::from)?;
        self.out.write_all(b"\n")?;
        self.records += 1;
        self.raw_bytes += header.bytes;
        self.left = header.bytes;
        self.end_if_whole()
    }

    /// Adds raw bytes to the record that was begun.
    ///
    /// # Errors
    ///
    /// `Io`; `InvalidInput` if they are more than its header said.
    pub fn write(&mut self, raw: &[u8]) -> Result<()> {
        if raw.is_empty() {
            return Ok(());
        }
        let bytes = raw.len() as u64;
        self.expect(self.left.max(bytes))?; // no more than are still to come
        self.out.write_all(raw)?;
        self.left -= bytes;
        self.end_if_whole()
    }

    /// Ends the stream; returns its numbers.
    ///
    /// # Errors
    ///
    /// `Io`; `InvalidInput` if bytes of the last record are missing.
    pub fn finish(self) -> Result<ArchiveNumbers> {
        self.expect(0)?;
        let mut out = self.out.finish()?;
        out.flush()?;
        let (archive_bytes, digest) = out.get_ref().finish();
        Ok(ArchiveNumbers {
            records: self.records,
            raw_bytes: self.raw_bytes,
            archive_bytes,
            digest,
        })
    }

    fn end_if_whole(&mut self) -> Result<()> {
        if self.left == 0 {
            self.out.write_all(b"\n")?;
        }
        Ok(())
    }

    fn expect(&self, left: u64) -> Result<()> {
        if self.left == left {
            return Ok(());
        }
        let told = "a record has more or fewer bytes than its header says";
        Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, told).into())
    }
}

/// Reads an archive record by record.
///
/// # Memory
///
/// O(1): the window that zstd level 1 needs, and a header line of at most 128 KiB. A stream that
/// asks for a larger window than 8 MiB is refused.
pub struct Reader<R: Read> {
    input: BufReader<zstd::Decoder<'static, BufReader<R>>>,
    left: u64,
    at: u64,
    started: bool,
}

impl<R: Read> Reader<R> {
    /// Opens an archive.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub fn new(input: R) -> Result<Self> {
        let mut decoder = zstd::Decoder::new(input)?;
        decoder.window_log_max(WINDOW_LOG)?;
        let input = BufReader::with_capacity(64 * 1024, decoder);
        Ok(Self {
            input,
            left: 0,
            at: 0,
            started: false,
        })
    }

    /// Skips what is left of the current record and reads the next header; `None` at the end.
    ///
    /// # Errors
    ///
    /// `ErrorKind::Archive` with the offset in the decompressed stream, or `Io`.
    pub fn next_header(&mut self) -> Result<Option<Header>> {
        if !self.started {
            self.started = true;
            if self.line()? != Some(format!("{MAGIC}\n")) {
                return Err(self.damaged());
            }
        } else if self.left > 0 {
            self.raw(|_| Ok(()))?;
        }
        let Some(line) = self.line()? else {
            return Ok(None);
        };
        let header: Header = serde_json::from_str(&line).map_err(|_| self.damaged())?;
        if header.lead.saturating_add(header.trail) > header.bytes {
            return Err(self.damaged());
        }
        self.left = header.bytes.checked_add(1).ok_or_else(|| self.damaged())?;
        Ok(Some(header))
    }

    /// Passes the current record's raw bytes to `each`.
    ///
    /// # Errors
    ///
    /// As [`Reader::next_header`], or what `each` says.
    pub fn raw(&mut self, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        while self.left > 0 {
            let buffer = match self.input.fill_buf() {
                Ok(buffer) if !buffer.is_empty() => buffer,
                _ => return Err(self.damaged()),
            };
            let count = usize::try_from(self.left).map_or(buffer.len(), |n| n.min(buffer.len()));
            // The record's last byte is the line feed, not part of it.
            let is_last = count as u64 == self.left;
            if is_last && buffer[count - 1] != b'\n' {
                return Err(self.damaged());
            }
            each(&buffer[..count - usize::from(is_last)])?;
            self.input.consume(count);
            self.left -= count as u64;
            self.at += count as u64;
        }
        Ok(())
    }

    /// Reads the next raw bytes of the current record, at most `most`; none at its end.
    ///
    /// # Errors
    ///
    /// As [`Reader::next_header`].
    pub fn read(&mut self, most: usize) -> Result<Vec<u8>> {
        let wanted = usize::try_from(self.left.saturating_sub(1)).unwrap_or(usize::MAX);
        let mut raw = vec![0; wanted.min(most)];
        self.input
            .read_exact(&mut raw)
            .map_err(|_| self.damaged())?;
        self.left -= raw.len() as u64;
        self.at += raw.len() as u64;
        Ok(raw)
    }

    fn line(&mut self) -> Result<Option<String>> {
        let mut line = Vec::new();
        let mut limited = (&mut self.input).take(HEADER_BYTES);
        if limited.read_until(b'\n', &mut line).is_err() {
            return Err(self.damaged());
        }
        self.at += line.len() as u64;
        if line.is_empty() {
            return Ok(None);
        }
        let text = String::from_utf8(line).map_err(|_| self.damaged())?;
        if text.ends_with('\n') {
            Ok(Some(text))
        } else {
            Err(self.damaged())
        }
    }

    fn damaged(&self) -> Error {
        Error::invalid(ErrorKind::Archive, self.at)
    }
}

/// What a whole archive holds; serialises to what Python reads.
#[derive(Debug, Serialize)]
pub struct ArchiveNumbers {
    /// Records.
    pub records: u64,
    /// Raw bytes in them.
    pub raw_bytes: u64,
    /// Size of the archive.
    pub archive_bytes: u64,
    /// BLAKE3 of the archive in hex.
    pub digest: String,
}

/// Reads an archive whole.
///
/// # Errors
///
/// `ErrorKind::Archive`, `Io`, `Cancelled`.
pub fn verify<R: Read>(input: R, control: &Control) -> Result<ArchiveNumbers> {
    let mut source = Digesting::<_, blake3::Hasher>::new(input);
    let (mut records, mut raw_bytes) = (0, 0);
    {
        let mut reader = Reader::new(&mut source)?;
        while let Some(header) = reader.next_header()? {
            records += 1;
            raw_bytes += header.bytes;
            reader.raw(|bytes| control.advance(bytes.len()))?;
        }
    }
    std::io::copy(&mut source, &mut std::io::sink())?;
    let (archive_bytes, digest) = source.finish();
    Ok(ArchiveNumbers {
        records,
        raw_bytes,
        archive_bytes,
        digest,
    })
}
