//! Laws of survey, rewrite, verify and restore, over random stores and policies.

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

use compaction::{all, compact, evidence, members, object, policy, put_back, HOUR, NOW};
use memory::Memory;
use proptest::prelude::*;
use tailflip_store::input::io::Control;
use tailflip_store::judge::policy::Policy;
use tailflip_store::pass::restore::Selection;
use tailflip_store::pass::{rewrite, survey};

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
