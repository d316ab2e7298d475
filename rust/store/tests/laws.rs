//! Laws of survey, rewrite, verify and restore, over random stores and policies.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::pedantic,
    dead_code,
    missing_docs
)]

mod common;
#[path = "common/memory.rs"]
mod memory;

use common::parse;
use memory::Memory;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use tailflip_store::entry::Status;
use tailflip_store::input::error::{Error, ErrorKind};
use tailflip_store::input::io::{Control, ReadAt};
use tailflip_store::judge::evidence::Evidence;
use tailflip_store::judge::policy::Policy;
use tailflip_store::judge::run_ends::{RunEnd, RunEnds};
use tailflip_store::pass::restore::{restore, Selection};
use tailflip_store::pass::rewrite;
use tailflip_store::pass::survey;
use tailflip_store::pass::verify;
use tailflip_store::write::archive::Reader;

const NOW: i64 = 1_800_000_000_000;
const HOUR: i64 = 3_600_000;

fn evidence(over: &[String], live: &[String]) -> Evidence {
    let mut ends = RunEnds::new(7, None);
    for key in over {
        let end = RunEnd {
            status: Status::Done,
            ended_at_ms: NOW - HOUR / 2,
            runtime_ms: 42_000,
        };
        ends.add(key, end).unwrap();
    }
    let mut evidence = Evidence::new(Arc::new(ends.seal().unwrap()));
    for id in live {
        assert!(evidence.add_live_session(id));
    }
    evidence
}

fn policy() -> Policy {
    Policy {
        now_ms: NOW,
        slim_runs: true,
        slim_idle_ms: None,
        retire: true,
        retention_ms: Some(24 * HOUR),
        max_lifetime_ms: Some(HOUR),
        single_flight: true,
        cap_per_job: None,
        cap_total: None,
        drop_kinds: Vec::new(),
        owner_died_before_ms: None,
        knows_ends: true,
    }
}

struct Done {
    store: Vec<u8>,
    archive: Vec<u8>,
    survey: serde_json::Value,
    rewrite: serde_json::Value,
}

/// Surveys, rewrites and verifies, and checks what must always hold.
fn compact(input: &[u8], policy: &Policy, evidence: &Evidence) -> Done {
    let (store, control) = (input.to_vec(), Control::default());
    let surveyed = survey(&store, policy, evidence, &control).expect("valid store");
    let (mut new, archive) = (Vec::new(), Memory::default());
    let wrote = rewrite(
        &store,
        &mut new,
        archive.clone(),
        &archive,
        policy,
        evidence,
        &surveyed,
        &control,
    )
    .expect("rewrites");
    let read = verify(&new, &control).expect("the new store is valid");
    assert_eq!((read.bytes, read.entries), (wrote.bytes, wrote.entries));
    assert_eq!(read.digest, wrote.digest);
    assert_eq!(read.kept_digest, wrote.kept_digest);
    let forecast = &surveyed.numbers;
    assert_eq!(
        (forecast.bytes_after, forecast.entries_after),
        (wrote.bytes, wrote.entries)
    );
    assert_eq!(forecast.rules, wrote.rules, "survey and rewrite agree");
    Done {
        store: new,
        archive: archive.bytes(),
        survey: serde_json::to_value(&surveyed.numbers).unwrap(),
        rewrite: serde_json::to_value(&wrote).unwrap(),
    }
}

fn put_back(store: &[u8], archive: &[u8], selection: &Selection) -> (Vec<u8>, serde_json::Value) {
    let mut out = Vec::new();
    let numbers = restore(
        &store.to_vec(),
        &mut out,
        || Reader::new(archive),
        selection,
        7,
        None,
        &Control::default(),
    )
    .expect("restores");
    assert_eq!(
        verify(&out, &Control::default()).unwrap().kept_digest,
        numbers.kept_digest
    );
    (out, serde_json::to_value(&numbers).unwrap())
}

fn members(store: &[u8]) -> Vec<String> {
    let seen = parse(store).expect("valid");
    seen.iter()
        .map(|s| String::from_utf8(store[s.span.0..s.span.1].to_vec()).unwrap())
        .collect()
}

fn object(text: &[u8]) -> BTreeMap<String, serde_json::Value> {
    serde_json::from_slice(text).expect("parses")
}

fn all() -> Selection {
    Selection {
        all: true,
        ..Selection::default()
    }
}

#[test]
fn a_slimmed_and_retired_entry_differs_in_exactly_the_named_fields() {
    let key = "agent:main:cron:job:run:s1";
    let store = format!(
        r#"{{
  "agent:main:main": {{"sessionId": "m", "updatedAt": 5, "skillsSnapshot": {{"a": [1]}}}},
  "{key}": {{
    "skillsSnapshot": {{
      "prompt": "x\"}}"
    }},
    "sessionId": "s1",
    "updatedAt": {at},
    "status": "running",
    "extra": 1.50,
    "systemPromptReport": []
  }}
}}"#,
        at = NOW - HOUR / 2
    );
    let done = compact(
        store.as_bytes(),
        &policy(),
        &evidence(&[key.to_owned()], &[]),
    );
    let text = String::from_utf8(done.store.clone()).unwrap();
    assert!(
        text.contains(&members(store.as_bytes())[0]),
        "the chat is untouched"
    );
    let expected = format!(
        r#""{key}": {{
    "sessionId": "s1",
    "updatedAt": {at},
    "status": "done",
    "endedAt": {end},
    "runtimeMs": 42000,
    "extra": 1.50
  }}"#,
        at = NOW - HOUR / 2,
        end = NOW - HOUR / 2
    );
    assert_eq!(members(&done.store)[1], expected);
    let (back, numbers) = put_back(&done.store, &done.archive, &all());
    assert_eq!(back, store.as_bytes());
    assert_eq!(numbers["replaced"], 1);
}

#[test]
fn status_alone_never_decides_and_proof_of_life_always_does() {
    let entry = |status: &str, age: i64, id: &str| {
        format!(
            r#""agent:main:cron:j{id}:run:{id}": {{"sessionId": "{id}", "updatedAt": {}, "status": "{status}"}}"#,
            NOW - age
        )
    };
    let store = format!(
        "{{{}}}",
        [
            entry("running", 2 * HOUR, "old"),
            entry("running", 2 * HOUR, "alive"),
            entry("running", HOUR / 2, "young"),
            entry("done", HOUR / 2, "saysdone"),
            entry("done", 25 * HOUR, "expired"),
            entry("running", -HOUR, "future"),
        ]
        .join(", ")
    );
    let done = compact(
        store.as_bytes(),
        &policy(),
        &evidence(&[], &["alive".to_owned()]),
    );
    let kept: Vec<_> = object(&done.store).into_keys().collect();
    let ids: Vec<_> = kept
        .iter()
        .map(|key| key.rsplit(':').next().unwrap())
        .collect();
    assert_eq!(ids, ["alive", "future", "saysdone", "young"]);
}

#[test]
fn single_flight_keeps_the_newest_and_caps_keep_the_newest_n() {
    let run = |id: i64, age: i64, status: &str| {
        format!(
            r#""agent:a:cron:j:run:{id}":{{"sessionId":"{id}","updatedAt":{},"status":"{status}"}}"#,
            NOW - age
        )
    };
    let flights: Vec<_> = (0..4)
        .map(|i| run(i, 60_000 * (4 - i), "running"))
        .collect();
    let done = compact(
        format!("{{{}}}", flights.join(",")).as_bytes(),
        &policy(),
        &evidence(&[], &[]),
    );
    assert_eq!(
        object(&done.store).into_keys().collect::<Vec<_>>(),
        ["agent:a:cron:j:run:3"]
    );
    assert_eq!(done.rewrite["rules"][0]["name"], "single-flight");

    let finished: Vec<_> = (0..9).map(|i| run(i, 2 * HOUR + i, "done")).collect();
    let store = format!("{{{}}}", finished.join(","));
    for (per_job, total) in [(Some(3), None), (None, Some(3)), (Some(5), Some(3))] {
        let capped = Policy {
            cap_per_job: per_job,
            cap_total: total,
            ..policy()
        };
        let done = compact(store.as_bytes(), &capped, &evidence(&[], &[]));
        let kept: Vec<_> = object(&done.store).into_keys().collect();
        assert_eq!(
            kept,
            [
                "agent:a:cron:j:run:0",
                "agent:a:cron:j:run:1",
                "agent:a:cron:j:run:2"
            ]
        );
    }
}

#[test]
fn duplicate_keys_are_found_after_unescaping_and_past_the_table() {
    let find = |store: &str| {
        let found = survey(
            &store.as_bytes().to_vec(),
            &policy(),
            &evidence(&[], &[]),
            &Control::default(),
        );
        found.unwrap().numbers.duplicate.map(|d| d.offset)
    };
    assert_eq!(find(r#"{"a":1,"b":2}"#), None);
    assert_eq!(find(r#"{"a":1,"b":2,"\u0061":3}"#), Some(13));
    let many: Vec<_> = (0..1_900_000).map(|i| format!("\"{i}\":0")).collect();
    let store = format!("{{{}}}", many.join(","));
    assert_eq!(find(&store), None);
    let twice = format!("{},\"17\":1}}", &store[..store.len() - 1]);
    assert_eq!(find(&twice), Some(store.len() as u64));
}

#[test]
fn a_restore_never_overwrites_a_key_that_lives_again() {
    let run = |id: &str, extra: &str| {
        format!(r#""agent:a:cron:j:run:{id}": {{"sessionId": "{id}", "updatedAt": 5{extra}}}"#)
    };
    let store = format!("{{{}, {}}}", run("1", ""), run("2", ""));
    let done = compact(store.as_bytes(), &policy(), &evidence(&[], &[]));
    assert_eq!(members(&done.store).len(), 0);
    let alive = format!("{{{}}}", run("1", ", \"new\": true"));
    let (back, numbers) = put_back(alive.as_bytes(), &done.archive, &all());
    assert_eq!(members(&back), [run("1", ", \"new\": true"), run("2", "")]);
    assert_eq!(
        (&numbers["added"], &numbers["conflicts"]),
        (&1.into(), &1.into())
    );
    assert_eq!(numbers["conflict_keys"][0], "agent:a:cron:j:run:1");
    let (again, numbers) = put_back(&back, &done.archive, &all());
    assert_eq!(again, back);
    assert_eq!(numbers["unchanged"], 1);
    let one = Selection {
        keys: ["agent:a:cron:j:run:2".to_owned()].into(),
        ..Selection::default()
    };
    assert_eq!(
        members(&put_back(&done.store, &done.archive, &one).0),
        [run("2", "")]
    );
}

#[test]
fn a_damaged_archive_is_refused_wherever_a_byte_is_changed() {
    let store = br#"{"agent:a:cron:j:run:1": {"sessionId": "1", "updatedAt": 5}}"#;
    let done = compact(store, &policy(), &evidence(&[], &[]));
    let read = |bytes: &[u8]| tailflip_store::write::archive::verify(bytes, &Control::default());
    let digest = read(&done.archive).unwrap().digest;
    for at in 0..done.archive.len() {
        let mut bad = done.archive.clone();
        bad[at] ^= 0x10;
        assert!(
            read(&bad).map_or(true, |numbers| numbers.digest != digest),
            "byte {at}"
        );
    }
    for cut in 0..done.archive.len() {
        assert!(read(&done.archive[..cut]).is_err(), "cut at {cut}");
    }
}

fn a_store() -> impl Strategy<Value = (String, Vec<String>, Vec<String>)> {
    let status = prop_oneof![
        Just(""),
        Just("running"),
        Just("done"),
        Just("failed"),
        Just("odd")
    ];
    let fields = (0..9u8, -2..60i64, status, any::<[bool; 5]>(), "[ \n]{0,4}");
    prop::collection::vec(fields, 0..14).prop_map(|rows| {
        let (mut over, mut live, mut text) = (Vec::new(), Vec::new(), String::from("{"));
        for (n, (kind, age, status, [slim, report, is_over, is_live, first], space)) in
            rows.into_iter().enumerate()
        {
            let key = match kind {
                0 => format!("agent:a:telegram:group:{n}"),
                1 => format!("agent:a:cron:j{n}"),
                2 => format!("agent:a:cron:j:run:{n}:deeper"),
                3 => format!("odd {n}"),
                _ => format!("agent:a:cron:j{}:run:{n}", kind % 2),
            };
            let mut members = vec![format!("\"sessionId\":{space}\"{n}\"")];
            if age >= 0 {
                members.push(format!("\"updatedAt\": {}", NOW - age * HOUR));
            }
            if !status.is_empty() {
                members.push(format!("\"status\":\"{status}\""));
            }
            for (wanted, name) in [(slim, "skillsSnapshot"), (report, "systemPromptReport")] {
                if wanted {
                    let at = if first { 0 } else { members.len() };
                    members.insert(
                        at,
                        format!("\"{name}\" :{{\"p\":\"{}\"}}", "x".repeat(n * 9)),
                    );
                }
            }
            if is_over {
                over.push(key.clone());
            }
            if is_live && n % 3 == 0 {
                live.push(n.to_string());
            }
            let comma = if n > 0 { "," } else { "" };
            text += &format!(
                "{comma}{space}\"{key}\": {{{space}{}}}",
                members.join(&format!("{space},"))
            );
        }
        (text + " }", over, live)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn nothing_is_lost_and_nothing_else_is_touched(
        (store, over, live) in a_store(),
        slim_idle in prop::option::of(0..40i64),
        retention in prop::option::of(0..50i64),
        lifetime in prop::option::of(0..5i64),
        cap in prop::option::of(1..4usize),
        total in prop::option::of(1..4usize),
        stopped in any::<bool>(),
    ) {
        let evidence = evidence(&over, &live);
        let policy = Policy {
            slim_idle_ms: slim_idle.map(|h| h * HOUR),
            retention_ms: retention.map(|h| h * HOUR),
            max_lifetime_ms: lifetime.map(|h| h * HOUR),
            cap_per_job: cap,
            cap_total: total,
            owner_died_before_ms: stopped.then_some(NOW),
            ..policy()
        };
        let done = compact(store.as_bytes(), &policy, &evidence);
        let (before, after) = (object(store.as_bytes()), object(&done.store));

        let order: Vec<_> = members(store.as_bytes());
        let mut left = order.iter();
        for member in members(&done.store) {
            let key = member.split('"').nth(1).unwrap().to_owned();
            let origin = left.find(|m| m.split('"').nth(1) == Some(&key)).expect("same order");
            let is_run = key.contains(":run:") && !key.contains("deeper");
            let entry = before[&key].as_object().unwrap();
            let is_live = live.contains(&entry["sessionId"].as_str().unwrap().to_owned());
            if is_live || (!is_run && slim_idle.is_none()) {
                prop_assert_eq!(&member, origin, "kept byte for byte");
            }
            let strip = |value: &serde_json::Value| {
                let mut value = value.as_object().unwrap().clone();
                for name in ["skillsSnapshot", "systemPromptReport", "status", "endedAt", "runtimeMs"] {
                    value.remove(name);
                }
                value
            };
            prop_assert_eq!(strip(&after[&key]), strip(&before[&key]));
        }
        for key in before.keys().filter(|key| !after.contains_key(*key)) {
            let run = key.contains(":run:") && !key.contains("deeper");
            prop_assert!(run, "only cron runs are removed, not {}", key);
            prop_assert!(!live.contains(&before[key]["sessionId"].as_str().unwrap().to_owned()));
        }

        let (back, _) = put_back(&done.store, &done.archive, &all());
        prop_assert_eq!(object(&back), before, "archive + kept = original");
        let mut was = order;
        let mut is = members(&back);
        was.sort();
        is.sort();
        prop_assert_eq!(was, is, "and byte for byte");

        let again = compact(&done.store, &policy, &evidence);
        prop_assert_eq!(&again.store, &done.store, "a second compaction does nothing");
        prop_assert_eq!(again.survey["rules"].as_array().unwrap().len(), 0);
    }
}

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

#[test]
fn a_rewrite_refuses_other_bytes_than_those_surveyed_whatever_they_are() {
    let store = br#"{"agent:main:cron:j:run:1": {"updatedAt": 1, "a": [{"b": "\"]"}, [2]]},
        "agent:main:main": {"updatedAt": 5, "c": {"d": {"e": [1, {}]}}}}"#
        .to_vec();
    let (evidence, control) = (evidence(&[], &[]), Control::default());
    let survey = survey(&store, &policy(), &evidence, &control).unwrap();
    for at in 0..store.len() {
        for byte in *b"{}[]:,\"\\ 1a\x00\xff" {
            let mut changed = store.clone();
            if std::mem::replace(&mut changed[at], byte) == byte {
                continue;
            }
            let archive = Memory::default();
            let outcome = rewrite(
                &changed,
                std::io::sink(),
                archive.clone(),
                &archive,
                &policy(),
                &evidence,
                &survey,
                &control,
            );
            assert!(outcome.is_err(), "{at} {byte}");
        }
    }
}

#[test]
fn of_two_session_ids_the_last_counts_and_nothing_is_judged_by_age() {
    let old = br#"{"agent:a:cron:b:run:x":{"sessionId":"","updatedAt":1,"sessionId":"s1"}}"#;
    let (none, control) = (evidence(&[], &[]), Control::default());
    let surveyed = survey(&old.to_vec(), &policy(), &none, &control).unwrap();
    assert_eq!(surveyed.numbers.entries_after, 1);

    let chat = br#"{"agent:a:main":{"sessionId":"s1","sessionId":"s2"}}"#.to_vec();
    for (live, stays) in [("s1", 0), ("s2", 1)] {
        let mut named = evidence(&[], &[live.to_owned()]);
        assert!(named.add_dropped_key("agent:a:main"));
        let surveyed = survey(&chat, &policy(), &named, &control).unwrap();
        assert_eq!(surveyed.numbers.entries_after, stays, "{live}");
    }
}
