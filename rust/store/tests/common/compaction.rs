//! Compacts a store by the real passes, and checks what must always hold.

use super::common::parse;
use super::memory::Memory;
use std::collections::BTreeMap;
use std::sync::Arc;
use tailflip_store::entry::Status;
use tailflip_store::input::io::Control;
use tailflip_store::judge::evidence::Evidence;
use tailflip_store::judge::policy::Policy;
use tailflip_store::judge::run_ends::{RunEnd, RunEnds};
use tailflip_store::pass::restore::{restore, Selection};
use tailflip_store::pass::{rewrite, survey, verify};
use tailflip_store::write::archive::Reader;

pub const NOW: i64 = 1_800_000_000_000;
pub const HOUR: i64 = 3_600_000;

pub fn evidence(over: &[String], live: &[String]) -> Evidence {
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

pub fn policy() -> Policy {
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

pub struct Done {
    pub store: Vec<u8>,
    pub archive: Vec<u8>,
    pub survey: serde_json::Value,
    pub rewrite: serde_json::Value,
}

/// Surveys, rewrites and verifies, and checks what must always hold.
pub fn compact(input: &[u8], policy: &Policy, evidence: &Evidence) -> Done {
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

pub fn put_back(
    store: &[u8],
    archive: &[u8],
    selection: &Selection,
) -> (Vec<u8>, serde_json::Value) {
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

pub fn members(store: &[u8]) -> Vec<String> {
    let seen = parse(store).expect("valid");
    seen.iter()
        .map(|s| String::from_utf8(store[s.span.0..s.span.1].to_vec()).unwrap())
        .collect()
}

pub fn object(text: &[u8]) -> BTreeMap<String, serde_json::Value> {
    serde_json::from_slice(text).expect("parses")
}

pub fn all() -> Selection {
    Selection {
        all: true,
        ..Selection::default()
    }
}
