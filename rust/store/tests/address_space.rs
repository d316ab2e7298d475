//! The engine works under an address space of 64 MiB, whatever the store: a gigabyte here, made
//! of nothing while it is read. A program of its own, because the limit holds for all of it.

#![allow(clippy::unwrap_used, clippy::pedantic, missing_docs)]

#[cfg(unix)]
fn main() {
    use rustix::process::{setrlimit, Resource, Rlimit};
    let limit = Some(64 << 20);
    let both = Rlimit {
        current: limit,
        maximum: limit,
    };
    setrlimit(Resource::As, both).unwrap();
    // The limit bites: what follows is no accident.
    assert!(Vec::<u8>::new().try_reserve_exact(64 << 20).is_err());
    work::survey_rewrite_and_verify();
}

#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
#[path = "common/memory.rs"]
mod memory;

#[cfg(unix)]
mod work {
    use super::memory::Memory;
    use std::io;
    use tailflip_store::input::io::{Control, ReadAt};
    use tailflip_store::judge::evidence::Evidence;
    use tailflip_store::judge::policy::Policy;
    use tailflip_store::pass::{rewrite, survey, verify};

    const ENTRY_BYTES: usize = 64 * 1024;
    const ENTRIES: u64 = 16 * 1024;

    /// `{` and many entries of one size, each with its number in its key.
    struct Made;

    fn entry(number: u64) -> Vec<u8> {
        let lead = if number == 0 { "{" } else { "," };
        let head = format!(
            r#"{lead}"agent:main:cron:job-{}:run:{number:09}": {{"updatedAt": 1, "text": ""#,
            number % 7
        );
        let tail = if number + 1 == ENTRIES {
            "\"}}"
        } else {
            "\"} "
        };
        let mut bytes = head.into_bytes();
        bytes.resize(ENTRY_BYTES - tail.len(), b'a' + (number % 20) as u8);
        bytes.extend_from_slice(tail.as_bytes());
        bytes
    }

    impl ReadAt for Made {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let (number, from) = (
                offset / ENTRY_BYTES as u64,
                (offset % ENTRY_BYTES as u64) as usize,
            );
            if number >= ENTRIES {
                return Ok(0);
            }
            let count = buffer.len().min(ENTRY_BYTES - from);
            buffer[..count].copy_from_slice(&entry(number)[from..from + count]);
            Ok(count)
        }
    }

    pub fn survey_rewrite_and_verify() {
        let (evidence, control) = (Evidence::empty(1), Control::default());
        let policy = Policy {
            now_ms: 1_800_000_000_000,
            slim_runs: true,
            slim_idle_ms: Some(1),
            retire: true,
            retention_ms: Some(1),
            max_lifetime_ms: Some(1),
            single_flight: true,
            cap_per_job: Some(3),
            cap_total: Some(10),
            drop_kinds: Vec::new(),
            owner_died_before_ms: None,
            knows_ends: true,
        };
        let found = survey(&Made, &policy, &evidence, &control).unwrap();
        assert_eq!(found.numbers.bytes, ENTRIES * ENTRY_BYTES as u64);
        let archive = Memory::default();
        let wrote = rewrite(
            &Made,
            io::sink(),
            archive.clone(),
            &archive,
            &policy,
            &evidence,
            &found,
            &control,
        )
        .unwrap();
        assert_eq!((wrote.records, wrote.entries), (ENTRIES, 0));
        assert_eq!(verify(&Made, &control).unwrap().entries, ENTRIES);
    }
}
