//! What is written by threads, and what goes wrong while they write.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::pedantic,
    dead_code,
    missing_docs
)]

mod common;
#[path = "common/compaction.rs"]
mod compaction;
#[path = "common/memory.rs"]
mod memory;

use compaction::{all, compact, evidence, members, policy, put_back, HOUR, NOW};
use memory::Memory;
use tailflip_store::input::error::{Error, ErrorKind};
use tailflip_store::input::io::{Control, ReadAt};
use tailflip_store::pass::{rewrite, survey};

/// Three megabytes: more than is written without threads. A third each is dropped, slimmed, kept.
fn large_store() -> Vec<u8> {
    let text = "0123456789é\\n ".repeat(600);
    let entry = |n: usize| {
        let (age, field) = match n % 3 {
            0 => (48 * HOUR, "text"),
            1 => (2 * HOUR, "skillsSnapshot"),
            _ => (HOUR / 2, "text"),
        };
        format!(
            r#""agent:main:cron:j{}:run:r{n}": {{"sessionId": "r{n}", "{field}": "{text}", "updatedAt": {}, "n": {n}}}"#,
            n % 5,
            NOW - age
        )
    };
    let entries: Vec<_> = (0..360).map(entry).collect();
    format!("{{\n{}\n}}", entries.join(",\n")).into_bytes()
}

#[test]
fn a_store_written_by_threads_obeys_the_same_laws() {
    let store = large_store();
    assert!(store.len() as u64 > 2 * tailflip_store::input::limits::INLINE_BYTES);
    let done = compact(&store, &policy(), &evidence(&[], &[]));
    assert_eq!(done.rewrite["entries"], 240);
    assert_eq!(done.rewrite["records"], 240);
    let (back, numbers) = put_back(&done.store, &done.archive, &all());
    assert_eq!(
        (&numbers["added"], &numbers["replaced"]),
        (&120.into(), &120.into())
    );
    let (mut was, mut is) = (members(&store), members(&back));
    was.sort_unstable();
    is.sort_unstable();
    assert_eq!(was, is);
}

/// Takes so many bytes, then is full.
struct Full(usize, Memory);

impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0 == 0 {
            return Err(std::io::Error::from_raw_os_error(28)); // ENOSPC
        }
        let count = bytes.len().min(self.0);
        self.0 -= count;
        self.1.write(&bytes[..count])
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_ends_a_rewrite_by_threads_with_that_error_wherever_it_strikes() {
    let (store, control) = (large_store(), Control::default());
    let evidence = evidence(&[], &[]);
    let survey = survey(&store, &policy(), &evidence, &control).unwrap();
    let error = |out: usize, archive: usize| {
        let file = Memory::default();
        let (out, archive) = (Full(out, Memory::default()), Full(archive, file.clone()));
        rewrite(
            &store,
            out,
            archive,
            &file,
            &policy(),
            &evidence,
            &survey,
            &control,
        )
        .map(drop)
        .map_err(|error| error.to_string())
    };
    let much = usize::MAX;
    let full = std::io::Error::from_raw_os_error(28).to_string();
    for room in [0, 1, 300_000, 600_000] {
        assert_eq!(error(room, much), Err(full.clone()), "store, {room}");
    }
    for room in [0, 1, 100, 1000] {
        assert_eq!(error(much, room), Err(full.clone()), "archive, {room}");
    }
    assert_eq!(error(much, much), Ok(()));
}

#[test]
fn a_store_that_changed_since_its_survey_is_not_rewritten() {
    let (store, control) = (large_store(), Control::default());
    let evidence = evidence(&[], &[]);
    let survey = survey(&store, &policy(), &evidence, &control).unwrap();
    let last = store.iter().rposition(|byte| *byte == b'9').unwrap();
    for (at, byte) in [(last, b'8'), (store.len() / 2, b'x'), (1, b' ')] {
        let mut changed = store.clone();
        changed[at] = byte;
        let (out, archive) = (std::io::sink(), Memory::default());
        let outcome = rewrite(
            &changed,
            out,
            archive.clone(),
            &archive,
            &policy(),
            &evidence,
            &survey,
            &control,
        );
        assert!(outcome.is_err(), "{at}");
    }
}

/// Reads back what was written, but for one byte.
struct Damaged(Memory, u64);

impl ReadAt for Damaged {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        let count = self.0.read_at(buffer, offset)?;
        if (offset..offset + count as u64).contains(&self.1) {
            buffer[(self.1 - offset) as usize] ^= 1;
        }
        Ok(count)
    }
}

#[test]
fn an_archive_that_does_not_read_back_as_written_ends_the_rewrite() {
    let small = br#"{"agent:main:cron:j:run:1": {"updatedAt": 1, "status": "done"}}"#.to_vec();
    for store in [small, large_store()] {
        let (evidence, control) = (evidence(&[], &[]), Control::default());
        let survey = survey(&store, &policy(), &evidence, &control).unwrap();
        let run = |damaged_at: u64| {
            let archive = Memory::default();
            let outcome = rewrite(
                &store,
                std::io::sink(),
                archive.clone(),
                &Damaged(archive.clone(), damaged_at),
                &policy(),
                &evidence,
                &survey,
                &control,
            );
            (outcome, archive.bytes().len() as u64)
        };
        let (outcome, len) = run(u64::MAX);
        assert_eq!(outcome.unwrap().archive_bytes, len);
        for at in [0, 7, len / 2, len - 1] {
            let error = run(at).0.map(drop).unwrap_err();
            let is_archive = matches!(
                error,
                Error::Invalid {
                    kind: ErrorKind::Archive,
                    ..
                }
            );
            assert!(is_archive, "{at}: {error}");
        }
    }
}
