//! The rows of a database are judged as the entries of a store are.

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

use compaction::{compact, object, policy, Done, HOUR, NOW};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tailflip_store::entry::key::KeyKind;
use tailflip_store::entry::Status;
use tailflip_store::input::error::{Error, ErrorKind};
use tailflip_store::input::limits::KEY_BYTES;
use tailflip_store::judge::evidence::Evidence;
use tailflip_store::judge::policy::Policy;
use tailflip_store::judge::rows::{Row, RowCensus, RowNumbers};
use tailflip_store::judge::run_ends::{RunEnd, RunEnds};
use tailflip_store::judge::verdict::Verdict;
use tailflip_store::write::archive::Reader;

/// An entry that can be written as a store's member and as a row.
#[derive(Debug, Clone)]
struct Spec {
    key: String,
    session: Option<String>,
    updated: Option<i64>,
    started: Option<i64>,
    status: Option<&'static str>,
    has_override: bool,
    is_odd: bool,
    bulk: Option<usize>,
    proof: Proof,
}

/// What is known of an entry from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    None,
    Live,
    LiveByEnds,
    Over,
    OverSession,
    Protected,
    Dropped,
}

impl Spec {
    fn member(&self) -> String {
        let mut fields = Vec::new();
        if let Some(session) = &self.session {
            fields.push(format!(r#""sessionId":"{session}""#));
        }
        for (name, time) in [("updatedAt", self.updated), ("startedAt", self.started)] {
            fields.extend(time.map(|at| format!(r#""{name}":{at}"#)));
        }
        fields.extend(self.status.map(|status| format!(r#""status":"{status}""#)));
        if self.has_override {
            fields.push(r#""modelOverride":"m""#.to_owned());
        }
        if self.is_odd {
            fields.push(r#""runtimeMs":1,"runtimeMs":2"#.to_owned());
        }
        if let Some(bytes) = self.bulk {
            fields.push(format!(r#""skillsSnapshot":"{}""#, "x".repeat(bytes)));
        }
        format!(r#""{}":{{{}}}"#, self.key, fields.join(","))
    }

    fn row<'a>(&'a self) -> Row<'a> {
        Row {
            key: &self.key,
            session_id: self.session.as_deref().unwrap_or_default(),
            updated_ms: self.updated,
            started_ms: self.started,
            ended_ms: None,
            status: self.status,
            has_override: self.has_override,
            is_odd: self.is_odd,
            bulk_bytes: self.bulk.map_or(0, |bytes| bytes as u64 + 20),
            bytes: self.member().len() as u64,
        }
    }
}

fn a_key(n: usize, kind: u8) -> String {
    match kind {
        0 => "agent:a:main".to_owned() + &n.to_string(),
        1 => format!("agent:a:cron:j{n}"),
        2 => format!("agent:a:cron:j:run:{n}:deeper"),
        3 => format!("agent:a:subagent:{n}"),
        4 => format!("agent:a:dreaming-narrative-light-0123456789ab-{n}"),
        5 => format!("agent:a:telegram:group:{n}"),
        6 => format!("agent:a:cron:{}:run:{n}", "j".repeat(KEY_BYTES - 20)),
        _ => format!("agent:a{}:cron:j{}:run:{n}", kind % 2, kind % 3),
    }
}

fn specs() -> impl Strategy<Value = Vec<Spec>> {
    let status = prop_oneof![
        2 => Just(None),
        5 => Just(Some("running")),
        3 => Just(Some("done")),
        1 => Just(Some("failed")),
        1 => Just(Some("killed")),
        1 => Just(Some("timeout")),
        1 => Just(Some("paused")),
    ];
    let proof = prop_oneof![
        9 => Just(Proof::None),
        1 => Just(Proof::Live),
        1 => Just(Proof::LiveByEnds),
        3 => Just(Proof::Over),
        1 => Just(Proof::OverSession),
        1 => Just(Proof::Protected),
        1 => Just(Proof::Dropped),
    ];
    // Few ages, so that ranks tie.
    let time = prop::option::weighted(0.9, prop_oneof![-1..4i64, 20..60i64]);
    let entry = (
        (0..20u8, status, proof),
        (time.clone(), time, prop::bool::weighted(0.9)),
        (
            prop::bool::weighted(0.1),
            prop::bool::weighted(0.1),
            prop::option::of(0..40usize),
        ),
    );
    prop::collection::vec(entry, 0..30).prop_map(|entries| {
        let make = |(n, ((kind, status, proof), times, flags)): (usize, _)| {
            let (updated, started, has_session): (Option<i64>, Option<i64>, bool) = times;
            let (has_override, is_odd, bulk) = flags;
            Spec {
                key: a_key(n, kind),
                session: has_session.then(|| n.to_string()),
                updated: updated.map(|hours| NOW - hours * HOUR),
                started: started.map(|hours| NOW - hours * HOUR - 1),
                status,
                has_override,
                is_odd,
                bulk,
                proof,
            }
        };
        entries.into_iter().enumerate().map(make).collect()
    })
}

fn gather(specs: &[Spec]) -> Evidence {
    let mut ends = RunEnds::new(7, None);
    for (n, spec) in specs.iter().enumerate() {
        let end = RunEnd {
            status: [Status::Done, Status::Failed][n % 2],
            ended_at_ms: NOW - HOUR / 2 - n as i64,
            runtime_ms: 42_000 + n as i64,
        };
        let session = spec.session.as_deref().unwrap_or_default();
        match spec.proof {
            Proof::Over => ends.add(&spec.key, end).unwrap(),
            Proof::OverSession => ends.add_session(&spec.key, session, end).unwrap(),
            Proof::LiveByEnds if !session.is_empty() => ends.keep(session).unwrap(),
            _ => {}
        }
    }
    let mut evidence = Evidence::new(Arc::new(ends.seal().unwrap()));
    for spec in specs {
        let session = spec.session.as_deref().unwrap_or_default();
        assert!(match spec.proof {
            Proof::Live => evidence.add_live_session(session),
            Proof::Protected => evidence.add_protected_key(&spec.key),
            Proof::Dropped => evidence.add_dropped_key(&spec.key),
            _ => true,
        });
    }
    evidence
}

fn judge_rows(
    rows: &[Row<'_>],
    policy: &Policy,
    evidence: &Evidence,
) -> (Vec<Verdict>, RowNumbers) {
    let mut census = RowCensus::new(policy.clone());
    for row in rows {
        census.offer(evidence, row).unwrap();
    }
    let mut judge = census.seal();
    let verdicts = rows.iter().map(|row| judge.judge(evidence, row).unwrap());
    (verdicts.collect(), judge.finish().unwrap())
}

/// What a rewrite did to each entry: the rule in the archive, and the end that is set.
fn verdicts_of(done: &Done) -> BTreeMap<String, String> {
    let mut reader = Reader::new(&done.archive[..]).unwrap();
    let mut rules = BTreeMap::new();
    while let Some(header) = reader.next_header().unwrap() {
        assert!(rules.insert(header.key, header.rule).is_none());
    }
    rules
}

/// Leaves of numbers what rows and stores both know: no bytes of separators, no ranges of fields.
fn counts(numbers: &Value) -> Value {
    let names = [
        "kinds",
        "running",
        "jobs",
        "jobs_untracked",
        "entries_after",
    ];
    let mut counts: BTreeMap<_, _> = names.map(|name| (name, numbers[name].clone())).into();
    let rules = numbers["rules"].as_array().unwrap().iter();
    let rules = rules.map(|rule| Value::from(vec![rule["name"].clone(), rule["entries"].clone()]));
    counts.insert("rules", rules.collect());
    serde_json::to_value(counts).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn rows_are_judged_as_the_same_entries_of_a_store(
        specs in specs(),
        slim_idle in prop::option::of(0..40i64),
        retention in prop::option::of(0..50i64),
        lifetime in prop::option::of(0..5i64),
        caps in (prop::option::of(1..4usize), prop::option::of(1..6usize)),
        died in prop::option::of(0..4i64),
        [slim, retire, single, knows, subagents, dreams] in any::<[bool; 6]>(),
    ) {
        let evidence = gather(&specs);
        let kinds = [(subagents, KeyKind::Subagent), (dreams, KeyKind::Dream)];
        let named = kinds.into_iter().filter(|(wanted, _)| *wanted);
        let policy = Policy {
            slim_runs: slim,
            slim_idle_ms: slim_idle.map(|hours| hours * HOUR),
            retire,
            retention_ms: retention.map(|hours| hours * HOUR),
            max_lifetime_ms: lifetime.map(|hours| hours * HOUR),
            single_flight: single,
            cap_per_job: caps.0,
            cap_total: caps.1,
            drop_kinds: named.map(|(_, kind)| (kind, HOUR)).collect(),
            owner_died_before_ms: died.map(|hours| NOW - hours * HOUR),
            knows_ends: knows,
            ..policy()
        };
        let members: Vec<_> = specs.iter().map(Spec::member).collect();
        let store = format!("{{{}}}", members.join(",\n"));
        let done = compact(store.as_bytes(), &policy, &evidence);
        let (mut expected, after) = (verdicts_of(&done), object(&done.store));

        let rows: Vec<_> = specs.iter().map(Spec::row).collect();
        let (verdicts, numbers) = judge_rows(&rows, &policy, &evidence);
        for (spec, verdict) in specs.iter().zip(verdicts) {
            let rule = expected.remove(&spec.key);
            prop_assert_eq!(verdict.name(), rule.as_deref(), "{:?}", spec);
            prop_assert_eq!(
                matches!(verdict, Verdict::Drop(_)),
                !after.contains_key(&spec.key)
            );
            if let Verdict::Edit { retire: Some(end), .. } = verdict {
                let entry = &after[&spec.key];
                prop_assert_eq!(&entry["status"], end.status.name());
                prop_assert_eq!(&entry["endedAt"], end.ended_at_ms);
                prop_assert!(spec.is_odd || entry["runtimeMs"] == end.runtime_ms);
            }
        }
        prop_assert!(expected.is_empty());
        let numbers = serde_json::to_value(&numbers).unwrap();
        prop_assert_eq!(counts(&numbers), counts(&done.survey));
        prop_assert_eq!(&numbers["rules"][0]["name"], &done.rewrite["rules"][0]["name"]);
    }
}

#[test]
fn a_second_pass_over_other_rows_is_refused() {
    let policy = policy();
    let evidence = Evidence::empty(1);
    let row = |key| Row {
        key,
        updated_ms: Some(1),
        status: Some("done"),
        bytes: 10,
        ..Row::default()
    };
    let (a, b) = (row("agent:a:cron:j:run:1"), row("agent:a:cron:j:run:2"));
    let later = Row {
        updated_ms: Some(2),
        ..b
    };
    let larger = Row { bytes: 11, ..b };
    let alive = Row {
        status: Some("running"),
        ..b
    };
    for (second, same) in [
        (vec![a, b], true),
        (vec![b, a], false),
        (vec![a], false),
        (vec![a, b, b], false),
        (vec![a, later], false),
        (vec![a, larger], false),
        (vec![a, alive], false),
    ] {
        let mut census = RowCensus::new(policy.clone());
        for row in [a, b] {
            census.offer(&evidence, &row).unwrap();
        }
        let mut judge = census.seal();
        for row in &second {
            judge.judge(&evidence, row).unwrap();
        }
        match judge.finish() {
            Ok(numbers) => assert!(same && numbers.entries == 2),
            Err(Error::Invalid { kind, .. }) => assert!(!same && kind == ErrorKind::Changed),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_row_whose_session_is_too_long_to_compare_is_kept() {
    let long = "s".repeat(KEY_BYTES + 1);
    let row = |session_id| Row {
        key: "agent:a:cron:j:run:1",
        session_id,
        updated_ms: Some(1),
        status: Some("done"),
        bytes: 10,
        ..Row::default()
    };
    let evidence = Evidence::empty(1);
    for (session, expected) in [(&long[..], None), (&long[1..], Some("expire"))] {
        let (verdicts, _) = judge_rows(&[row(session)], &policy(), &evidence);
        assert_eq!(verdicts[0].name(), expected);
        let store = format!(
            r#"{{"agent:a:cron:j:run:1":{{"sessionId":"{session}","updatedAt":1,"status":"done"}}}}"#
        );
        let done = compact(store.as_bytes(), &policy(), &evidence);
        let rules = verdicts_of(&done);
        assert_eq!(rules.values().next().map(String::as_str), expected);
    }
}
