//! Laws of a salvage, over damaged stores: what the damage does not touch is kept or the salvage
//! says that it is unsure, and nothing is ever invented.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::pedantic,
    dead_code,
    missing_docs
)]

mod common;

use common::parse;
use proptest::prelude::*;
use serde_json::Value;
use tailflip_store::input::io::Control;
use tailflip_store::pass::salvage::{salvage, SalvageNumbers};
use tailflip_store::pass::verify;

/// How a store is laid out.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Layout {
    Gateway,
    Crlf,
    Compact,
    Tabs,
    Four,
}

fn lay_out(entries: &[(String, Value)], layout: Layout) -> Vec<u8> {
    let mut map = serde_json::Map::new();
    for (key, value) in entries {
        map.insert(key.clone(), value.clone());
    }
    let indent: &[u8] = match layout {
        Layout::Compact => return serde_json::to_vec(&map).unwrap(),
        Layout::Tabs => b"\t",
        Layout::Four => b"    ",
        Layout::Gateway | Layout::Crlf => b"  ",
    };
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(indent);
    let mut writer = serde_json::Serializer::with_formatter(&mut out, formatter);
    serde::Serialize::serialize(&map, &mut writer).unwrap();
    if layout == Layout::Crlf {
        out = String::from_utf8(out)
            .unwrap()
            .replace('\n', "\r\n")
            .into_bytes();
    }
    out
}

/// One damaged place, in shares of the store's length.
#[derive(Debug, Clone)]
enum Damage {
    Change(f64, u8),
    Remove(f64, usize),
    Insert(f64, Vec<u8>),
    Nul(f64, usize),
    Cut(f64),
}

/// A byte and where in the whole store it was; `None` for one that was not.
type Traced = (u8, Option<usize>);

fn apply(data: &mut Vec<Traced>, damage: &Damage) {
    let at = |share: f64, len: usize| ((share * len as f64) as usize).min(len);
    let len = data.len();
    match damage {
        Damage::Change(share, byte) if len > 0 => {
            let at = at(*share, len).min(len - 1);
            if data[at].0 != *byte {
                data[at] = (*byte, None);
            }
        }
        Damage::Change(..) => {}
        Damage::Remove(share, count) => {
            let at = at(*share, len);
            data.drain(at..(at + count).min(len));
        }
        Damage::Insert(share, bytes) => {
            let at = at(*share, len);
            data.splice(at..at, bytes.iter().map(|byte| (*byte, None)));
        }
        Damage::Nul(share, count) => {
            let at = at(*share, len);
            for byte in &mut data[at..(at + count).min(len)] {
                *byte = (0, None);
            }
        }
        Damage::Cut(share) => data.truncate(at(*share, len)),
    }
}

fn run(bytes: &[u8]) -> (SalvageNumbers, Vec<u8>) {
    let mut out = Vec::new();
    let input = bytes.to_vec();
    let numbers = salvage(&input, bytes.len() as u64, &mut out, &Control::default()).unwrap();
    (numbers, out)
}

fn members(store: &[u8]) -> Vec<&[u8]> {
    let seen = parse(store).expect("a salvaged store is valid");
    seen.iter()
        .map(|one| &store[one.span.0..one.span.1])
        .collect()
}

/// Checks a salvage against what is known of the whole store; says whether it was sure.
fn check(whole: &[u8], data: &[Traced]) -> bool {
    let bytes: Vec<u8> = data.iter().map(|(byte, _)| *byte).collect();
    let shown = || String::from_utf8_lossy(&bytes).into_owned();
    let (numbers, out) = run(&bytes);
    let kept = members(&out);
    assert_eq!(kept.len() as u64, numbers.entries);
    let read = verify(&out, &Control::default()).unwrap();
    assert_eq!(
        (read.bytes, &read.digest, &read.kept_digest),
        (numbers.bytes, &numbers.digest, &numbers.kept_digest)
    );
    if parse(&bytes).is_some() {
        assert_eq!(numbers.damage, "none");
        assert_eq!(out, bytes);
        return true;
    }
    let spans: Vec<_> = parse(whole).unwrap().iter().map(|seen| seen.span).collect();
    // Nothing is invented: what was kept was an entry, or the damage is in it.
    let mut from = 0;
    for one in &kept {
        let found = bytes[from..]
            .windows(one.len())
            .position(|window| window == *one);
        let at = from + found.unwrap_or_else(|| panic!("not in the file: {}", shown()));
        from = at + one.len();
        let origins = &data[at..from];
        let is_one = |part: &[Traced]| {
            part.windows(2).all(
                |pair| matches!((pair[0].1, pair[1].1), (Some(one), Some(next)) if one + 1 == next),
            )
        };
        let is_whole = is_one(origins);
        let key = one.windows(4).position(|text| text.starts_with(b"\": "));
        let has_key = key.is_some_and(|len| is_one(&origins[..len]));
        if is_whole {
            // A key that lost its beginning and is one all the same cannot be told from another,
            // nor a number that lost its end.
            let (start, end) = (origins[0].1.unwrap(), origins[0].1.unwrap() + one.len());
            let is_rest = |span: &(usize, usize)| {
                span.1 == end && whole[span.0..start].iter().all(|byte| *byte != b'\n')
            };
            let is_shorter = |span: &(usize, usize)| {
                span.0 == start && end < span.1 && whole[end - 1].is_ascii_digit()
            };
            assert!(
                spans
                    .iter()
                    .any(|span| span.0 <= start && is_rest(span) || is_shorter(span)),
                "invented {:?} of {}",
                String::from_utf8_lossy(one),
                shown()
            );
        } else if has_key && origins[0].1.is_some() {
            // What the damage touches may be other than it was, but no field becomes an entry.
            let start = origins[0].1.unwrap();
            let is_key = |span: &(usize, usize)| {
                span.0 <= start && whole[span.0..start].iter().all(|byte| *byte != b'\n')
            };
            assert!(
                spans.iter().any(is_key),
                "risen {:?} of {}",
                String::from_utf8_lossy(one),
                shown()
            );
        }
    }
    if numbers.unsure.is_some() {
        return false;
    }
    // Nothing is lost that the damage does not touch.
    let mut left = kept.iter();
    for (start, end) in spans {
        let at = data.iter().position(|(_, origin)| *origin == Some(start));
        let untouched = at.is_some_and(|at| {
            at + end - start <= data.len()
                && (start..end)
                    .zip(&data[at..])
                    .all(|(origin, one)| one.1 == Some(origin))
        });
        if untouched {
            // With more before its key, it is an entry of another key: that cannot be told either.
            assert!(
                left.any(|one| one.ends_with(&whole[start..end])),
                "lost {:?} of {}",
                String::from_utf8_lossy(&whole[start..end]),
                shown()
            );
        }
    }
    true
}

fn traced(whole: &[u8]) -> Vec<Traced> {
    whole
        .iter()
        .enumerate()
        .map(|(at, byte)| (*byte, Some(at)))
        .collect()
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{0,6}",
        "[ -~]{0,12}",
        Just("\n  \"agent:main:x\": {\n    \"a\": 1\n  },".to_owned()),
        Just("say \"k\": {\\".to_owned()),
        Just("é\u{2028}\u{1F9EA}".to_owned()),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-1000i64..1000).prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((text(), inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn entry() -> impl Strategy<Value = Value> {
    let fields = prop::collection::vec((text(), value()), 1..5);
    fields.prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

/// A store whose entries are objects, as the gateway's are, or anything.
fn store() -> impl Strategy<Value = Vec<(String, Value)>> {
    let key = prop_oneof![3 => "agent:[a-z]{1,3}:[a-z]{1,4}", 1 => text()];
    let gateways = prop::collection::vec((key.clone(), entry()), 1..8);
    let any = prop::collection::vec((key, prop_oneof![2 => entry(), 1 => value()]), 1..8);
    prop_oneof![3 => gateways, 1 => any]
}

fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![
        prop::sample::select(b"\"{}[],: \n\\0ax\r".to_vec()),
        any::<u8>()
    ]
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        3 => (0.0..1.0, byte()).prop_map(|(at, byte)| Damage::Change(at, byte)),
        3 => (0.0..1.0, 1usize..9).prop_map(|(at, count)| Damage::Remove(at, count)),
        1 => (0.0..1.0, 1usize..120).prop_map(|(at, count)| Damage::Remove(at, count)),
        3 => (0.0..1.0, prop::collection::vec(byte(), 1..9))
            .prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        1 => (0.0..1.0, 1usize..200).prop_map(|(at, count)| Damage::Nul(at, count)),
        1 => (0.0..1.0).prop_map(Damage::Cut),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(3_000)
    ))]

    #[test]
    fn what_the_damage_does_not_touch_is_kept_or_the_salvage_is_unsure(
        entries in store(),
        layout in prop::sample::select(vec![
            Layout::Gateway, Layout::Gateway, Layout::Crlf, Layout::Compact, Layout::Tabs,
            Layout::Four,
        ]),
        damages in prop::collection::vec(damage(), 1..4),
    ) {
        let whole = lay_out(&entries, layout);
        let mut data = traced(&whole);
        for damage in &damages {
            apply(&mut data, damage);
        }
        check(&whole, &data);
    }
}

fn sample(layout: Layout) -> Vec<u8> {
    let entry = serde_json::json!({
        "sessionId": "a1", "updatedAt": 17_000_000, "label": "say \"x\": {\n",
        "skills": {"prompt": "p p", "list": [], "n": {"a": {}, "b": [{"c": 1}]}}, "last": true
    });
    let keys = [
        "agent:main:a",
        "agent:main:b\"c",
        "agent:main:d",
        "agent:main:e",
    ];
    let entries: Vec<_> = keys
        .iter()
        .map(|key| ((*key).to_owned(), entry.clone()))
        .collect();
    lay_out(&entries, layout)
}

#[test]
fn one_damaged_byte_anywhere_costs_one_entry_or_the_salvage_is_unsure() {
    for layout in [Layout::Gateway, Layout::Crlf, Layout::Tabs, Layout::Four] {
        let whole = sample(layout);
        let (mut sure, mut all) = (0, 0);
        for at in 0..whole.len() {
            for byte in *b"\"{}[],:\\ \n\r\t\0X5\xFF" {
                for kind in 0..3 {
                    let mut data = traced(&whole);
                    match kind {
                        0 => data[at] = (byte, None),
                        1 => data.insert(at, (byte, None)),
                        _ => drop(data.remove(at)),
                    }
                    all += 1;
                    sure += i32::from(check(&whole, &data));
                }
            }
        }
        let share = f64::from(sure) / f64::from(all);
        assert!(share > 0.95, "{layout:?}: sure in {share}");
    }
}

#[test]
fn a_cut_anywhere_keeps_every_entry_before_it() {
    for layout in [Layout::Gateway, Layout::Crlf, Layout::Tabs, Layout::Four] {
        let whole = sample(layout);
        for cut in 0..whole.len() {
            assert!(check(&whole, &traced(&whole)[..cut]) || cut < 40, "{cut}");
        }
    }
}

#[test]
fn a_store_in_one_line_proves_nothing_of_itself() {
    let whole = sample(Layout::Compact);
    let (numbers, _) = run(&whole[..whole.len() - 30]);
    assert_eq!((numbers.entries, numbers.unsure), (0, Some(0)));
    let (numbers, out) = run(&[&b"\xEF\xBB\xBF"[..], &whole].concat());
    assert_eq!((numbers.entries, numbers.damage), (4, "bom"));
    assert_eq!(out, whole);
}

#[test]
fn nothing_but_nul_and_white_space_is_blank() {
    for blank in [&b""[..], b" \n", &[0; 9000], b"\0 \n\0"] {
        let (numbers, out) = run(blank);
        assert!(numbers.blank && numbers.unsure.is_none());
        assert_eq!(out, b"{}");
    }
    let (numbers, _) = run(b"\0\0x");
    assert!(!numbers.blank && numbers.unsure.is_some());
}

#[test]
fn a_missing_comma_costs_nothing() {
    let whole = String::from_utf8(sample(Layout::Gateway)).unwrap();
    let bad = whole.replacen("  },\n  \"agent:main:d\"", "  }\n  \"agent:main:d\"", 1);
    let (numbers, out) = run(bad.as_bytes());
    assert_eq!(
        (numbers.entries, numbers.left, numbers.lost_bytes),
        (4, 0, 0)
    );
    assert_eq!(out, whole.as_bytes());
}

#[test]
fn what_was_left_behind_is_counted_and_named() {
    let whole = String::from_utf8(sample(Layout::Gateway)).unwrap();
    let bad = whole.replacen("p p", "p\np", 2);
    let (numbers, _) = run(bad.as_bytes());
    assert_eq!(
        (numbers.entries, numbers.left, numbers.gap_count),
        (2, 2, 1)
    );
    assert_eq!(numbers.unsure, None);
    let from = usize::try_from(numbers.gaps[0].0).unwrap();
    let to = usize::try_from(numbers.gaps[0].1).unwrap();
    assert_eq!(from, 0);
    assert!(bad[to..].starts_with("\"agent:main:d\""));
}

#[test]
fn a_second_store_after_the_first_is_left_and_told() {
    let whole = sample(Layout::Gateway);
    let (numbers, out) = run(&[&whole[..], &whole].concat());
    assert_eq!((numbers.entries, numbers.left), (4, 4));
    assert!(numbers.unsure.is_some());
    assert_eq!(out, whole);
}
