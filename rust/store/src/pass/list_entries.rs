//! Lists entries as JSON Lines, for what has to be judged by evidence outside the store.

use crate::bytes::lex::Chunk;
use crate::entry::key::KeyKind;
use crate::entry::{Entries, Entry, EntryVisitor, Key, Status};
use crate::input::error::Result;
use crate::input::io::{Control, ReadAt};
use crate::input::limits::BUFFER_BYTES;
use crate::judge::run_ends::RunEnd;
use crate::pass::ledger_join::{How, JoinedLedgers, LEDGERS};
use crate::pass::scan::scan;
use serde::Serialize;
use std::io::{BufWriter, Write};

/// Status, end, length, and whether the ledger's line names the session.
type End = (&'static str, i64, i64, bool);

/// Written as an array: Python makes a tuple of each, of which there may be millions.
#[derive(Serialize)]
struct Line<'a>(
    &'a str,      // key
    &'static str, // kind
    &'a str,      // agent
    &'a str,      // job
    &'a str,      // session
    &'a str,      // file
    Option<i64>,  // updated, ms
    Option<i64>,  // started, ms
    Option<i64>,  // ended, ms
    &'static str, // status
    u64,          // bytes
    Option<bool>, // is the job's base entry still this session's
    [Option<End>; LEDGERS],
);

/// Says whether evidence from outside may judge an entry. It is a cron run, a base entry, a
/// sub-agent, or says "running"; and its fields are readable.
pub(crate) fn is_listed(entry: &Entry, key: &Key<'_>) -> bool {
    let wanted = matches!(
        key.parsed.kind,
        KeyKind::CronRun | KeyKind::CronBase | KeyKind::Subagent
    ) || entry.fields.status == Status::Running;
    wanted && !key.is_odd && entry.fields.is_readable()
}

/// Writes a line for each entry that evidence may judge, with what the ledgers know of it.
///
/// # Errors
///
/// As [`scan`], what writing says, and what reading the scratch file says.
///
/// # Memory
///
/// O(1): two buffers of 256 KiB.
pub fn list_entries<W: Write>(
    input: &dyn ReadAt,
    joined: Option<&JoinedLedgers>,
    out: W,
    control: &Control,
) -> Result<u64> {
    let lister = Lister {
        joined,
        out: BufWriter::with_capacity(BUFFER_BYTES, out),
        lines: 0,
    };
    let mut entries = Entries::new(lister, joined.map_or(0, JoinedLedgers::seed));
    scan(input, control, &mut entries)?;
    entries.inner.out.flush()?;
    Ok(entries.inner.lines)
}

struct Lister<'a, W: Write> {
    joined: Option<&'a JoinedLedgers>,
    out: BufWriter<W>,
    lines: u64,
}

impl<W: Write> EntryVisitor for Lister<'_, W> {
    fn entry(&mut self, entry: &Entry, chunk: &Chunk<'_>) -> Result<()> {
        let key = entry.key(chunk);
        let parsed = &key.parsed;
        if !is_listed(entry, &key) {
            return Ok(());
        }
        let (mut is_current, mut ends) = (None, [None; LEDGERS]);
        if let Some(joined) = self.joined {
            is_current = joined.is_current(entry, &key)?;
            for (ledger, end) in ends.iter_mut().enumerate() {
                *end = joined.find(ledger, entry, &key)?.map(tell);
            }
        }
        let line = Line(
            key.text,
            parsed.kind.name(),
            parsed.agent,
            parsed.job,
            &entry.fields.session_id,
            &entry.fields.session_file,
            entry.fields.updated_ms,
            entry.fields.started_ms,
            entry.fields.ended_ms,
            entry.fields.status.name(),
            entry.places.span.len(),
            is_current,
            ends,
        );
        serde_json::to_writer(&mut self.out, &line).map_err(std::io::Error::from)?;
        self.out.write_all(b"\n")?;
        self.lines += 1;
        Ok(())
    }
}

fn tell((over, how): (RunEnd, How)) -> End {
    let is_named = matches!(how, How::Key);
    (
        over.status.name(),
        over.ended_at_ms,
        over.runtime_ms,
        is_named,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_judged_is_listed_and_nothing_else(
    ) -> std::result::Result<(), Box<dyn std::error::Error>> {
        let store = br#"{
          "agent:a:cron:j:run:s": {"sessionId":"s","updatedAt":2,"startedAt":1,"status":"running"},
          "agent:a:cron:j": {"sessionId":"s","updatedAt":2,"sessionFile":"x\ny"},
          "agent:a:subagent:u": {"sessionId":"u","updatedAt":3,"endedAt":4,"status":"done"},
          "agent:a:main": {"sessionId":"m","updatedAt":5},
          "agent:a:custom": {"sessionId":"c","updatedAt":5,"status":"running"},
          "agent:a:cron:k:run:t": {"sessionId":"t","updatedAt":"soon"},
          "agent:a:cron:k:run:u": null
        }"#;
        let mut out = Vec::new();
        let lines = list_entries(&store.to_vec(), None, &mut out, &Control::default())?;
        let text = String::from_utf8(out)?;
        assert_eq!(lines, 4, "{text}");
        let mut keys = Vec::new();
        for line in text.lines() {
            keys.push(serde_json::from_str::<serde_json::Value>(line)?[0].to_string());
        }
        assert_eq!(
            keys,
            [
                r#""agent:a:cron:j:run:s""#,
                r#""agent:a:cron:j""#,
                r#""agent:a:subagent:u""#,
                r#""agent:a:custom""#
            ]
        );
        assert!(text.starts_with(
            r#"["agent:a:cron:j:run:s","cron run","a","j","s","",2,1,null,"running","#
        ));
        Ok(())
    }
}
