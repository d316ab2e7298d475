#![allow(clippy::unwrap_used, clippy::similar_names)] // a test that panics has failed

use super::sorted::last_not_after;
use super::*;
use crate::input::io::ReadAt;
use crate::input::limits::{FAN, SORT_RECORDS};
use proptest::prelude::*;
use std::io;
use std::sync::{Arc, Mutex};

/// A scratch file in memory.
#[derive(Default)]
struct Bytes(Mutex<Vec<u8>>);

impl ReadAt for Bytes {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.0.lock().unwrap();
        bytes.as_slice().read_at(buffer, offset)
    }
}

impl Scratch for Bytes {
    fn write_at(&self, new: &[u8], offset: u64) -> io::Result<()> {
        let mut bytes = self.0.lock().unwrap();
        let end = usize::try_from(offset).unwrap() + new.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[end - new.len()..end].copy_from_slice(new);
        Ok(())
    }
}

fn spread(n: u64) -> u64 {
    n.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn model(prefer: Prefer, records: &[Record]) -> Vec<Record> {
    let mut sorted = records.to_vec();
    sorted.sort_by_key(|record| record.key);
    let mut kept: Vec<Record> = Vec::new();
    for record in sorted {
        let last = kept.last_mut().filter(|old| old.key == record.key);
        match last.map(|old| (prefer.replaces(old, &record), old)) {
            Some((Some(true), old)) => *old = record,
            Some((Some(false), _)) => {}
            Some((None, _)) | None => kept.push(record),
        }
    }
    kept
}

fn check(prefer: Prefer, records: &[Record]) {
    let mut sorter = Sorter::new(prefer, Some(Spill::new(Box::<Bytes>::default())));
    for record in records {
        sorter.add(*record).unwrap();
    }
    let sorted = Arc::new(sorter.seal().unwrap());
    let expected = model(prefer, records);
    let (mut reader, mut all) = (sorted.records(), Vec::new());
    while let Some(record) = reader.next().unwrap() {
        all.push(record);
    }
    assert!(all == expected, "{prefer:?}: {} records", records.len());
    let step = (expected.len() / 500).max(1);
    for record in expected.iter().step_by(step) {
        for shift in [-1, 0, 1] {
            let key = (record.key.0, record.key.1 + shift);
            let wanted = last_not_after(&expected, key).filter(|found| found.key.0 == key.0);
            assert_eq!(sorted.at_or_before(key).unwrap(), wanted);
        }
        assert_eq!(sorted.get((record.key.0 ^ 1, 1 << 60)).unwrap(), None);
    }
}

fn make(count: u64, hashes: u64) -> Vec<Record> {
    let make = |n: u64| Record {
        key: (spread(n % hashes), i64::try_from(spread(n) >> 44).unwrap()),
        weight: i64::try_from(spread(n) >> 60).unwrap(),
        value: n,
    };
    (0..count).map(make).collect()
}

#[test]
fn what_was_added_is_found_whether_it_fits_into_memory_or_not() {
    let much = SORT_RECORDS as u64 * (FAN as u64 + 3) + 17;
    for prefer in [
        Prefer::All,
        Prefer::Last,
        Prefer::Heaviest,
        Prefer::Lightest,
    ] {
        for (count, hashes) in [(0, 1), (1, 1), (1000, 7), (1000, 1000)] {
            check(prefer, &make(count, hashes));
        }
        check(prefer, &make(SORT_RECORDS as u64 * 3, 1));
        check(prefer, &make(SORT_RECORDS as u64 * 3, 1 << 40));
    }
    check(Prefer::Last, &make(much, 1 << 40));
    check(Prefer::All, &make(much, 3));
}

#[test]
fn a_table_without_a_file_says_so_when_it_is_full() {
    let mut sorter = Sorter::new(Prefer::Last, None);
    let added = make(SORT_RECORDS as u64 + 1, 1 << 40)
        .iter()
        .try_for_each(|record| sorter.add(*record));
    assert!(added.is_err());
}

proptest! {
    #[test]
    fn of_one_key_the_preferred_stays(pairs in proptest::collection::vec((0u64..9, 0i64..4, 0i64..4), 0..60)) {
        let records: Vec<Record> = pairs
            .iter()
            .zip(0..)
            .map(|(&(hash, order, weight), value)| Record { key: (spread(hash), order), weight, value })
            .collect();
        for prefer in [Prefer::All, Prefer::Last, Prefer::Heaviest, Prefer::Lightest] {
            check(prefer, &records);
        }
    }
}
