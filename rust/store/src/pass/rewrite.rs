//! Writes the store that a policy leaves, and the archive of what it takes away.

use crate::bytes::lex::Chunk;
use crate::entry::key::KeyKind;
use crate::entry::{Entries, Entry, EntryVisitor, Key, Span};
use crate::input::error::{Error, ErrorKind, Result};
use crate::input::io::{read_range, Control, ReadAt};
use crate::input::limits::{BUFFER_BYTES, INLINE_BYTES};
use crate::judge::census::signed;
use crate::judge::evidence::Evidence;
use crate::judge::policy::{Policy, Rule};
use crate::judge::tally::{RuleCount, Tally};
use crate::judge::verdict::{judge, Rank, Verdict};
use crate::pass::scan::scan_again;
use crate::pass::survey::Survey;
use crate::write::archive::{Header, Writer};
use crate::write::edits::{edits, shrinkage, Cut, Cutter, Edit};
use crate::write::output::Output;
use crate::write::readback::{ReadBack, Telling};
use serde::Serialize;
use std::io::Write;
use std::sync::atomic::AtomicU64;
use twox_hash::XxHash3_128;

/// What a rewrite wrote; serialises to what Python reads.
#[derive(Debug, Serialize)]
pub struct RewriteNumbers {
    /// Size of the new store.
    pub bytes: u64,
    /// Its entries.
    pub entries: u64,
    /// XXH3-128 of it in hex.
    pub digest: String,
    /// BLAKE3 over the XXH3-128 of each of its entries.
    pub kept_digest: String,
    /// What each rule did.
    pub rules: Vec<Tally>,
    /// Records in the archive.
    pub records: u64,
    /// Size of the archive.
    pub archive_bytes: u64,
    /// BLAKE3 of the archive in hex.
    pub archive_digest: String,
}

/// Writes the new store to `out` and what leaves it to `archive`, which is read back from
/// `read_back` while it is written, and decompressed and compared whole.
///
/// # Errors
///
/// As [`scan`](crate::pass::scan::scan); `ErrorKind::Changed` when these are not the bytes that were surveyed, `ErrorKind::Archive`
/// when the archive does not read back as it was written.
///
/// # Memory
///
/// O(1): two more buffers of 256 KiB, zstd both ways, and what [`limits`](crate::input::limits) says of
/// pooled buffers and batches.
#[allow(clippy::too_many_arguments)]
pub fn rewrite<W: Write + Send, A: Write + Send>(
    input: &dyn ReadAt,
    out: W,
    archive: A,
    read_back: &dyn ReadAt,
    policy: &Policy,
    evidence: &Evidence,
    survey: &Survey,
    control: &Control,
) -> Result<RewriteNumbers> {
    let written = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let mut output = Output::new(input, control, out);
        let telling = Telling {
            inner: archive,
            written: &written,
        };
        let mut archive = Writer::new(input, control, telling)?;
        if survey.numbers.bytes >= INLINE_BYTES {
            (output, archive) = (output.threaded(scope), archive.threaded(scope));
        }
        let rewriter = Rewriter {
            input,
            policy,
            evidence,
            survey,
            output,
            archive,
            read_back: ReadBack::new(read_back, &written)?,
            cutter: Cutter::default(),
            pending: None,
            rules: RuleCount::default(),
            buffer: vec![0; BUFFER_BYTES],
        };
        let mut entries = Entries::new(rewriter, evidence.seed());
        let read = scan_again(input, control, &mut entries)?;
        if (read.bytes, &read.digest) != (survey.numbers.bytes, &survey.numbers.digest) {
            return Err(Error::invalid(ErrorKind::Changed, 0));
        }
        let mut done = entries.inner;
        done.output.copy_to(read.bytes)?;
        let entries = done.output.entries;
        let (bytes, digest, kept_digest) = done.output.finish()?;
        let (records, raw_bytes) = (done.archive.records, done.archive.raw_bytes);
        let (archive_bytes, archive_digest) = done.archive.finish()?;
        let found = done.read_back.finish(control)?;
        if found != (raw_bytes, archive_bytes, archive_digest.clone()) {
            return Err(Error::invalid(ErrorKind::Archive, 0));
        }
        Ok(RewriteNumbers {
            bytes,
            entries,
            digest,
            kept_digest,
            rules: done.rules.tallies(),
            records,
            archive_bytes,
            archive_digest,
        })
    })
}

struct Rewriter<'scope, W: Write, A: Write> {
    input: &'scope dyn ReadAt,
    policy: &'scope Policy,
    evidence: &'scope Evidence,
    survey: &'scope Survey,
    output: Output<'scope, W>,
    archive: Writer<'scope, A>,
    read_back: ReadBack<'scope>,
    cutter: Cutter,
    /// The header of a removed entry whose cut the next entry decides.
    pending: Option<(Rule, Header)>,
    rules: RuleCount,
    buffer: Vec<u8>,
}

impl<W: Write, A: Write> Rewriter<'_, W, A> {
    /// Adds a record. While the archive is behind, what it has so far is read back.
    fn record(&mut self, header: &Header, span: Span) -> Result<()> {
        while self.archive.is_behind() && self.read_back.step()? {}
        self.archive.add(header, span)
    }

    fn remove(&mut self, rule: Rule, mut header: Header, cut: Cut) -> Result<()> {
        header.at = cut.range.start;
        header.bytes = cut.range.len();
        header.lead = cut.lead;
        header.trail = cut.trail;
        self.record(&header, cut.range)?;
        self.output.replace(cut.range, b"")?;
        self.rules.add(rule, signed(cut.range.len()));
        Ok(())
    }

    fn edit(
        &mut self,
        entry: &Entry,
        key: &Key<'_>,
        verdict: Verdict,
        edits: &[Edit],
    ) -> Result<()> {
        let mut hash = XxHash3_128::new();
        let mut digest = blake3::Hasher::new();
        let mut after_bytes = 0u64;
        let mut at = entry.places.span.start;
        let end = Span {
            start: entry.places.span.end,
            end: entry.places.span.end,
        };
        let last = (end, Vec::new());
        for (span, text) in edits.iter().chain([&last]) {
            let mut take = |bytes: &[u8]| {
                hash.write(bytes);
                digest.update(bytes);
                after_bytes += bytes.len() as u64;
            };
            read_range(self.input, at, span.start, &mut self.buffer, |bytes| {
                take(bytes);
                Ok(())
            })?;
            take(text);
            at = span.end;
        }
        let rule = verdict.name().unwrap_or_default();
        let mut header = header(self.policy, entry, key, rule);
        header.at = entry.places.span.start;
        header.bytes = entry.places.span.len();
        header.after = Some(digest.finalize().to_hex().to_string());
        header.after_bytes = after_bytes;
        self.record(&header, entry.places.span)?;
        for (span, text) in edits {
            self.output.replace(*span, text)?;
        }
        self.output.copy_to(entry.places.span.end)?;
        self.output.note_entry(hash.finish_128());
        self.rules.add_edit(verdict, shrinkage(edits));
        Ok(())
    }
}

fn header(policy: &Policy, entry: &Entry, key: &Key<'_>, rule: &str) -> Header {
    let parsed = &key.parsed;
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let is_cron = matches!(parsed.kind, KeyKind::CronRun | KeyKind::CronBase);
    Header {
        key: key.text.to_owned(),
        rule: rule.to_owned(),
        time_ms: policy.now_ms,
        at: 0,
        bytes: 0,
        lead: 0,
        trail: 0,
        session: text(&entry.fields.session_id),
        file: text(&entry.fields.session_file),
        job: text(if is_cron { parsed.job } else { "" }),
        after: None,
        after_bytes: 0,
    }
}

impl<W: Write, A: Write> EntryVisitor for Rewriter<'_, W, A> {
    fn entry(&mut self, entry: &Entry, chunk: &Chunk<'_>) -> Result<()> {
        self.output.hold(chunk);
        self.archive.hold(chunk);
        if let Some(cut) = self.cutter.entry_starts(entry.places.span.start) {
            if let Some((rule, header)) = self.pending.take() {
                self.remove(rule, header, cut)?;
            }
        }
        let key = entry.key(chunk);
        let jobs = Some(&self.survey.jobs);
        let facts = entry.facts(&key);
        let rank = Rank::of(&facts, entry.places.span.start);
        match judge(self.policy, self.evidence, jobs, &facts, rank)?.verdict {
            Verdict::Drop(rule) => {
                let header = header(self.policy, entry, &key, rule.name());
                match self.cutter.remove(entry.places.span) {
                    Some(cut) => self.remove(rule, header, cut)?,
                    None => self.pending = Some((rule, header)),
                }
            }
            Verdict::Keep => {
                self.cutter.keep(entry.places.span);
                self.output.copy_to(entry.places.span.end)?;
                self.output.note_entry(entry.member_hash(chunk));
            }
            verdict @ Verdict::Edit { .. } => {
                self.cutter.keep(entry.places.span);
                let edits = edits(self.input, entry, verdict)?;
                self.edit(entry, &key, verdict, &edits)?;
            }
        }
        Ok(())
    }

    fn root_end(&mut self, _: u64) -> Result<()> {
        if let (Some(cut), Some((rule, header))) = (self.cutter.finish(), self.pending.take()) {
            self.remove(rule, header, cut)?;
        }
        Ok(())
    }
}
