//! The house rules of the Rust sources: which room may use which, where `unsafe` may be, and how
//! long a file may get.

#![allow(clippy::unwrap_used, clippy::panic, clippy::pedantic, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};

/// In order: each room uses those before it and itself.
const ROOMS: [&str; 8] = [
    "input",
    "bytes",
    "external_sort",
    "entry",
    "judge",
    "write",
    "pass",
    "transcript",
];
const MOST_LINES: usize = 600;
/// Beside these, only files below `store/src/bytes/simd` may be unsafe.
const UNSAFE: [&str; 2] = ["native/src/fd.rs", "native/src/memory.rs"];

fn rust() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All sources below a folder: their paths in `rust`, and their text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut due = vec![rust().join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = due.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                due.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let name = path.strip_prefix(rust()).unwrap();
                let name = name.to_string_lossy().replace('\\', "/");
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

#[test]
fn a_room_uses_only_the_rooms_before_it() {
    for (name, text) in sources("store/src") {
        let room = name
            .trim_start_matches("store/src/")
            .split('/')
            .next()
            .unwrap();
        let Some(at) = ROOMS.iter().position(|one| *one == room) else {
            assert_eq!(name, "store/src/lib.rs", "a room that nobody knows");
            continue;
        };
        for line in text.lines() {
            for used in code(line).split("crate::").skip(1) {
                let used = used
                    .split(|c: char| !c.is_alphanumeric() && c != '_')
                    .next();
                let is_before = ROOMS[..=at].contains(&used.unwrap());
                assert!(is_before, "{name}: {line}");
            }
        }
    }
}

#[test]
fn nothing_is_unsafe_but_vector_instructions_and_descriptors() {
    let mut found = Vec::new();
    for folder in ["store", "native", "fuzz", "bench"] {
        for (name, text) in sources(folder) {
            if name == "store/tests/rooms.rs" {
                continue;
            }
            let words = |line: &str, word: &str| {
                code(line)
                    .split(|c: char| !c.is_alphanumeric() && c != '_')
                    .any(|one| one == word)
            };
            let is_unsafe = text
                .lines()
                .any(|line| words(line, "unsafe") || words(line, "unsafe_code"));
            if is_unsafe && !name.starts_with("store/src/bytes/simd/") {
                found.push(name);
            }
        }
    }
    assert_eq!(found, UNSAFE);
    for manifest in ["../Cargo.toml", "fuzz/Cargo.toml", "bench/Cargo.toml"] {
        let text = fs::read_to_string(rust().join(manifest)).unwrap();
        assert!(text.contains("unsafe_code = \"deny\""), "{manifest}");
    }
    for manifest in ["store/Cargo.toml", "native/Cargo.toml"] {
        let text = fs::read_to_string(rust().join(manifest)).unwrap();
        assert!(
            text.contains("[lints]\nworkspace = true"),
            "{manifest} takes the lints of the workspace"
        );
    }
}

#[test]
fn no_file_is_longer_than_a_person_reads_at_once() {
    for folder in ["store", "native", "fuzz", "bench"] {
        for (name, text) in sources(folder) {
            let lines = text.lines().count();
            assert!(lines <= MOST_LINES, "{name}: {lines} lines");
        }
    }
}
