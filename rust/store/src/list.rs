//! Lists entries as JSON Lines, for what has to be judged by evidence outside the store.

use crate::entry::{Entries, Entry, EntryVisitor, Status};
use crate::error::Result;
use crate::io::{scan, Control, ReadAt};
use crate::key::Kind;
use crate::lex::Chunk;
use crate::limits::BUFFER_BYTES;
use serde::Serialize;
use std::io::{BufWriter, Write};

#[derive(Serialize)]
struct Line<'a> {
    key: &'a str,
    kind: &'static str,
    agent: &'a str,
    job: &'a str,
    session: &'a str,
    file: &'a str,
    updated_ms: Option<i64>,
    started_ms: Option<i64>,
    ended_ms: Option<i64>,
    status: &'static str,
    bytes: u64,
}

/// Writes a line for each cron run, base entry, sub-agent and whatever says "running".
///
/// Entries whose looked-at fields are not what they should be are left out: nothing is
/// done about them.
///
/// # Errors
///
/// As [`scan`], and what writing says.
///
/// # Memory
///
/// O(1): two buffers of 256 KiB.
pub fn list<W: Write>(input: &dyn ReadAt, out: W, control: &Control) -> Result<u64> {
    let lister = Lister {
        out: BufWriter::with_capacity(BUFFER_BYTES, out),
        lines: 0,
    };
    let mut entries = Entries::new(lister, 0);
    scan(input, control, &mut entries)?;
    entries.inner.out.flush()?;
    Ok(entries.inner.lines)
}

struct Lister<W: Write> {
    out: BufWriter<W>,
    lines: u64,
}

impl<W: Write> EntryVisitor for Lister<W> {
    fn entry(&mut self, entry: &Entry, chunk: &Chunk<'_>) -> Result<()> {
        let key = entry.key(chunk);
        let parsed = &key.parsed;
        let wanted = matches!(parsed.kind, Kind::CronRun | Kind::CronBase | Kind::Subagent)
            || entry.status() == Status::Running;
        if !wanted || key.is_odd || entry.odd || !entry.is_object {
            return Ok(());
        }
        let line = Line {
            key: key.text,
            kind: parsed.kind.name(),
            agent: parsed.agent,
            job: parsed.job,
            session: &entry.session_id,
            file: &entry.session_file,
            updated_ms: entry.updated_at,
            started_ms: entry.started_at,
            ended_ms: entry.ended_at,
            status: entry.status().name(),
            bytes: entry.span.len(),
        };
        let text = serde_json::to_vec(&line).map_err(std::io::Error::from)?;
        self.out.write_all(&text)?;
        self.out.write_all(b"\n")?;
        self.lines += 1;
        Ok(())
    }
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
        let lines = list(&store.to_vec(), &mut out, &Control::default())?;
        let text = String::from_utf8(out)?;
        assert_eq!(lines, 4, "{text}");
        let mut keys = Vec::new();
        for line in text.lines() {
            keys.push(serde_json::from_str::<serde_json::Value>(line)?["key"].to_string());
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
        assert!(text.contains(r#""started_ms":1,"ended_ms":null,"status":"running""#));
        Ok(())
    }
}
