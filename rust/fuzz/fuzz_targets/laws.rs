//! Any valid store: survey and rewrite agree, the result verifies, a restore brings every member
//! back, and a salvage of it loses nothing.
#![no_main]

#[path = "../../store/tests/common/mod.rs"]
mod common;
#[path = "../../store/tests/common/memory.rs"]
mod memory;

use libfuzzer_sys::fuzz_target;
use memory::Memory;
use tailflip_store::input::io::Control;
use tailflip_store::judge::evidence::Evidence;
use tailflip_store::judge::policy::Policy;
use tailflip_store::pass::restore::{restore, Selection};
use tailflip_store::pass::{rewrite, salvage, survey, verify};
use tailflip_store::write::archive::Reader;

fn members(store: &[u8]) -> Vec<&[u8]> {
    let seen = common::parse(store).expect("valid");
    let mut all: Vec<_> = seen
        .iter()
        .map(|one| &store[one.span.0..one.span.1])
        .collect();
    all.sort_unstable();
    all
}

fuzz_target!(|data: &[u8]| {
    let Some((&bits, input)) = data.split_first() else {
        return;
    };
    let (input, control) = (input.to_vec(), Control::default());
    let (evidence, on) = (Evidence::empty(1), |bit: u8| bits & (1 << bit) != 0);
    let policy = Policy {
        now_ms: 1_000_000_000,
        slim_runs: on(0),
        slim_idle_ms: on(1).then_some(1),
        retire: on(2),
        retention_ms: on(3).then_some(1),
        max_lifetime_ms: on(4).then_some(1),
        single_flight: on(5),
        cap_per_job: on(6).then_some(1),
        cap_total: None,
        drop_kinds: Vec::new(),
        owner_died_before_ms: on(7).then_some(1_000_000_000),
        knows_ends: input.len() % 2 == 0,
    };
    let Ok(surveyed) = survey(&input, &policy, &evidence, &control) else {
        return;
    };
    if surveyed.numbers.duplicate.is_some() {
        return;
    }
    let (mut new, archive) = (Vec::new(), Memory::default());
    let (put, back) = (archive.clone(), &archive);
    let wrote = rewrite(
        &input, &mut new, put, back, &policy, &evidence, &surveyed, &control,
    )
    .expect("a surveyed store can be rewritten");
    let archive = archive.bytes();
    let read = verify(&new, &control).expect("what was written is valid");
    assert_eq!(
        (&read.digest, &read.kept_digest),
        (&wrote.digest, &wrote.kept_digest)
    );
    assert_eq!(surveyed.numbers.bytes_after, wrote.bytes);
    assert_eq!(surveyed.numbers.rules, wrote.rules);

    let all = Selection {
        all: true,
        ..Selection::default()
    };
    let mut back = Vec::new();
    restore(
        &new,
        &mut back,
        || Reader::new(&archive[..]),
        &all,
        1,
        None,
        &control,
    )
    .expect("restores");
    assert_eq!(members(&back), members(&input));

    let mut saved = Vec::new();
    salvage(&input, input.len() as u64, &mut saved, &control).expect("salvages");
    assert_eq!(members(&saved), members(&input));
});
