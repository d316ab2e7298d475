//! The scanner against an independent parser: verdict, entry ranges and field ranges, with every
//! kernel and at every chunking.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::pedantic,
    dead_code,
    missing_docs
)]

mod common;
#[path = "common/record.rs"]
mod record;

use common::parse;
use proptest::prelude::*;
use record::{facts, run};
use tailflip_store::bytes::lex::{Chunk, Lexer};
use tailflip_store::bytes::simd::Level;
use tailflip_store::entry::{Entries, Entry, EntryVisitor};
use tailflip_store::input::error::{Error, Result};
use tailflip_store::input::io::Control;
use tailflip_store::pass::scan::scan_with;
use twox_hash::XxHash3_128;

fn kind_and_offset(error: &Error) -> String {
    error.to_string()
}

/// Every kernel, every buffer size of `sizes`: one verdict, one offset, the oracle's ranges.
fn agree(input: &[u8], sizes: &[usize]) {
    let expected = parse(input);
    let mut first: Option<String> = None;
    for level in Level::all() {
        for &size in sizes {
            let got = run(input, Lexer::with_level(level), size);
            let shown = String::from_utf8_lossy(input);
            match (&expected, &got) {
                (Some(expected), Ok(got)) => {
                    assert_eq!(got, expected, "{level:?} {size} {shown}");
                    let again = run(input, Lexer::with_level(level).of_validated(), size);
                    assert_eq!(&again.unwrap(), expected, "again: {level:?} {size} {shown}");
                }
                (None, Err(error)) => {
                    let error = kind_and_offset(error);
                    let first = first.get_or_insert_with(|| error.clone());
                    assert_eq!(*first, error, "{level:?} {size} {shown}");
                }
                _ => panic!("{level:?} {size}: oracle {expected:?}, scanner {got:?}: {shown}"),
            }
        }
    }
}

const SIZES: [usize; 9] = [1, 2, 3, 7, 63, 64, 65, 128, 4096];

#[test]
fn conformance_cases_agree_with_the_oracle_at_every_chunking() {
    // Written by us in the spirit of JSONTestSuite: each is put where a value may stand, at
    // different distances from a block's edge.
    let values: &[&[u8]] = &[
        b"0",
        b"-0",
        b"1",
        b"-1",
        b"01",
        b"-",
        b"-a",
        b"1.",
        b"1.0",
        b".5",
        b"1e5",
        b"1E+5",
        b"1e",
        b"1e+",
        b"1e-05",
        b"1.5e300",
        b"1e999999",
        b"0x1",
        b"+1",
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"true",
        b"false",
        b"null",
        b"tru",
        b"truee",
        b"True",
        b"nul",
        b"nulll",
        b"falsetrue",
        b"\"\"",
        b"\"a\"",
        b"\"\\\"\"",
        b"\"\\\\\"",
        b"\"\\\\\\\"\"",
        b"\"\\/\"",
        b"\"\\b\\f\\n\\r\\t\"",
        b"\"\\u0041\"",
        b"\"\\uD800\"",
        b"\"\\uDC00\\uD800\"",
        b"\"\\ud83d\\ude00\"",
        b"\"\\u00G0\"",
        b"\"\\u004\"",
        b"\"\\u\"",
        b"\"\\x41\"",
        b"\"\\a\"",
        b"\"\\",
        b"\"\\\"",
        b"\"",
        b"\"\x00\"",
        b"\"\x1f\"",
        b"\"\n\"",
        b"\"\x7f\"",
        b"\"\xc3\xa9\"",
        b"\"\xe2\x82\xac\"",
        b"\"\xf0\x9f\x98\x80\"",
        b"\"\xff\"",
        b"\"\xc0\xaf\"",
        b"\"\xed\xa0\x80\"",
        b"\"\xf4\x90\x80\x80\"",
        b"\"\xe2\x82\"",
        b"\"\x80\"",
        b"\xc3\xa9",
        b"[]",
        b"[1]",
        b"[1,2]",
        b"[1,]",
        b"[,1]",
        b"[,]",
        b"[1 2]",
        b"[",
        b"]",
        b"[[]",
        b"[]]",
        b"{}",
        b"{\"a\":1}",
        b"{\"a\":1,}",
        b"{,}",
        b"{\"a\"}",
        b"{\"a\":}",
        b"{a:1}",
        b"{1:1}",
        b"{\"a\":1 \"b\":2}",
        b"{\"a\":1,\"a\":2}",
        b"{'a':1}",
        b"[}",
        b"{]",
        b"{\"a\":[}",
        b"\x0c",
        b"\x1a",
        b"\x00",
        b"\x0b1",
        b"1\x0c",
        b"/**/1",
        b"//\n1",
        b"1//",
        b"\xef\xbb\xbf1",
        b"\"a\"b",
        b"1\"a\"",
        b"\"a\"\"b\"",
        b"[]1",
        b"{}\"\"",
        b"1:1",
        b"\\u0031",
        b"\\\"a\"",
        b" 1 ",
        b"\t\r\n1",
        b"[\"a\",[{\"b\":[null,true,-1.5e-3]}],\"\\u00e9\"]",
        b"[1,[2,[3,[4]]]]",
        b"\xe2\x80\xa81",
        b"\xc2\xa01",
        b"1.0.0",
        b"--1",
        b"1-1",
        b"1e1e1",
        b"-01",
        b"0e0",
        b"0.0e-0",
    ];
    for value in values {
        for pad in [
            0usize, 40, 50, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 120,
        ] {
            for (before, after) in [
                (&b"{\"k\":"[..], &b"}"[..]),
                (b"{\"k\":{\"f\":", b",\"g\":2},\"l\":3}"),
                (b"{\"k\":[[", b"]]}"),
            ] {
                let spaces = vec![b' '; pad];
                let input = [&spaces[..], before, value, after].concat();
                agree(&input, &[1, 3, 64, 4096]);
            }
        }
    }
}

#[test]
fn every_prefix_of_a_document_is_truncated_at_its_end() {
    let document = "  {\"a\\\"\\u00e9\": {\"sessionId\": \"é€😀\", \"x\": [1.5e3, {\"y\": null}]}, \"b\": -0.5}\n";
    let whole = document.as_bytes();
    agree(whole, &SIZES);
    let end = document.trim_end().len();
    for cut in 0..end {
        let error = run(&whole[..cut], Lexer::new(), 5)
            .expect_err("cut")
            .to_string();
        let expected = if whole[..cut].iter().all(|b| *b == b' ') {
            "empty"
        } else {
            "truncated"
        };
        assert_eq!(error, format!("{expected} at byte {cut}"));
    }
}

#[test]
fn what_is_read_ahead_is_scanned_like_the_first_mebibyte() {
    let entry = |n: usize| {
        format!(
            "\"k{n}\": {{\"text\": \"{}\", \"n\": [{n}]}}",
            "é€ ".repeat(2_000)
        )
    };
    let entries: Vec<_> = (0..250).map(entry).collect();
    let document = format!("{{{}}}", entries.join(",\n")).into_bytes();
    assert!(document.len() > 2_500_000);
    let sizes = [4_096, 65_536, 262_144, 1 << 22];
    agree(&document, &sizes);
    for cut in [1 << 20, (1 << 20) + 1, 2_000_000, document.len() - 1] {
        agree(&document[..cut], &sizes);
        let mut damaged = document.clone();
        damaged[cut] = 1;
        agree(&damaged, &sizes);
    }
}

#[test]
fn depth_is_accepted_up_to_the_limit_and_refused_beyond_it() {
    let deep = |levels: usize| {
        let mut text = b"{\"a\":".to_vec();
        text.resize(text.len() + levels, b'[');
        text.resize(text.len() + levels, b']');
        text.push(b'}');
        text
    };
    let buffer = 1 << 16;
    assert!(run(&deep(1_000_000), Lexer::new(), buffer).is_ok());
    let limit = usize::try_from(tailflip_store::input::limits::MAX_DEPTH).unwrap();
    assert!(run(&deep(limit - 1), Lexer::new(), buffer).is_ok());
    let error = run(&deep(limit), Lexer::new(), buffer)
        .expect_err("too deep")
        .to_string();
    assert_eq!(error, format!("depth at byte {}", 5 + limit - 1));
}

#[test]
fn innermost_values_are_followed_at_every_depth_and_wherever_they_are_wrong() {
    let document = |levels: usize, middle: &str| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!("{{\"a\":{open}{middle}{close}}}").into_bytes()
    };
    let values = "[],{},[1],{\"b\":0},".repeat(6);
    let members = "\"c\":[],\"c\":{},\"c\":[1],\"c\":{\"b\":0},".repeat(6);
    for inner in [
        "[]",
        "{}",
        "{]",
        "[}",
        "]",
        "[",
        "{1}",
        "[1:2]",
        "[\"b\":1]",
        "{\"b\"}",
        "{\"b\":{]}",
        "[[}]",
    ] {
        let middles = [
            format!("{values}{inner},{values}0"),
            format!("{values}{inner}"),
            format!("{{{members}\"c\":{inner},{members}\"c\":0}}"),
            format!("{{{members}\"c\":{inner}}}"),
        ];
        for levels in (1..5).chain(60..66).chain(124..130) {
            for middle in &middles {
                agree(&document(levels, middle), &[1, 64, 4096]);
            }
        }
    }
    let limit = usize::try_from(tailflip_store::input::limits::MAX_DEPTH).unwrap();
    for (levels, is_right) in [(limit - 2, true), (limit - 1, false)] {
        let deep = document(levels, &format!("{values}0"));
        for level in Level::all() {
            let ran = run(&deep, Lexer::with_level(level), 1 << 16);
            let said = ran.map_or_else(|e| e.to_string(), |_| String::new());
            let depth = format!("depth at byte {}", 5 + levels);
            assert_eq!(said, if is_right { "" } else { &depth });
        }
    }
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,12})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,3})?",
        string(),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let space = "[ \n\t]{0,3}";
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..5), space)
                .prop_map(|(items, s)| format!("[{s}{}{s}]", items.join(&format!("{s},{s}")))),
            (prop::collection::vec((string(), inner), 0..5), space).prop_map(|(items, s)| {
                let items: Vec<_> = items
                    .iter()
                    .map(|(k, v)| format!("{k}{s}:{s}{v}"))
                    .collect();
                format!("{{{s}{}{s}}}", items.join(&format!("{s},{s}")))
            }),
        ]
    })
}

fn string() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop_oneof![
            "[a-z]{0,70}",
            Just("\\\"".to_owned()),
            Just("\\\\".to_owned()),
            "\\\\u[0-9a-fA-F]{4}",
            Just("é€😀".to_owned()),
            Just("\\n".to_owned()),
        ],
        0..6,
    )
    .prop_map(|parts| format!("\"{}\"", parts.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn valid_and_mutated_documents_agree_with_the_oracle(
        entries in prop::collection::vec((string(), json()), 0..6),
        mutation in prop::option::of((any::<prop::sample::Index>(), any::<u8>(), 0..3u8)),
        size in 1usize..200,
    ) {
        let entries: Vec<_> = entries.iter().map(|(k, v)| format!("{k}: {v}")).collect();
        let mut input = format!("{{\n  {}\n}}", entries.join(",\n  ")).into_bytes();
        if let Some((at, byte, how)) = mutation {
            let at = at.index(input.len());
            match how {
                0 => input[at] = byte,
                1 => input.truncate(at),
                _ => { input.remove(at); }
            }
        }
        agree(&input, &[size, 1, 64, 1 << 16]);
    }

    /// Blocks of nothing but tokens, deep inside an entry, are checked all at once.
    #[test]
    fn dense_documents_agree_with_the_oracle(
        values in prop::collection::vec(dense(), 1..30),
        blanks in 0usize..64,
        swaps in prop::collection::vec(
            (any::<prop::sample::Index>(), prop::sample::select(b"{}[]:,\"\\ 01-te\x0c\x1a".to_vec())),
            0..3,
        ),
        size in 1usize..200,
    ) {
        let (values, blanks) = (values.join(","), " ".repeat(blanks));
        let mut input = format!("{{\"a\":{{\"b\":{blanks}[{values}]}}}}").into_bytes();
        for (at, byte) in swaps {
            let at = at.index(input.len());
            input[at] = byte;
        }
        agree(&input, &[size, 1, 64, 1 << 16]);
    }
}

/// A value with as few bytes between its tokens as can be.
fn dense() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "1", "0", "12", "-1", "0.5", "1e9", "true", "null", "\"\"", "\"a\"", "\"\\n\"", "[]", "{}",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(6, 64, 6, |inner| {
        let name = prop::sample::select(vec!["", "a", "\\u0041"]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6)
                .prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((name, inner), 0..6).prop_map(|members| {
                let members: Vec<_> = members
                    .iter()
                    .map(|(n, v)| format!("\"{n}\":{v}"))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

/// Texts that rules look for, plain, escaped, cut and nearly so.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "sessionId",
            "sessionFile",
            "updatedAt",
            "startedAt",
            "endedAt",
            "runtimeMs",
            "status",
            "skillsSnapshot",
            "systemPromptReport",
            "modelOverride",
            "\\u0073tatus",
            "stat\\u0075s",
            "endedAt\\u0000",
            "status ",
            "",
        ])
        .prop_map(|name| format!("\"{name}\"")),
        string(),
    ]
}

fn field() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        prop::sample::select(vec![
            "1800000000000",
            "0",
            "-5",
            "1e3",
            "99999999999999999999",
            "null",
            "\"running\"",
            "\"r\\u0075nning\"",
            "\"done\"",
            "\"\\ud800\"",
            "{}",
            "[1]",
        ])
        .prop_map(str::to_owned),
        json(),
    ];
    (name(), value).prop_map(|(name, value)| format!("{name} : {value}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_entries_say_is_the_same_at_every_chunking(
        entries in prop::collection::vec((string(), prop::collection::vec(field(), 0..8)), 1..5),
        long in prop::option::of(65_000usize..66_000),
    ) {
        let mut entries: Vec<_> = entries
            .iter()
            .map(|(key, fields)| format!("{key}: {{{}}}", fields.join(", ")))
            .collect();
        if let Some(long) = long {
            let text = "k".repeat(long);
            entries.push(format!("\"{text}\": {{\"{text}\": 1, \"sessionId\": \"{text}\"}}"));
        }
        let input = format!("{{{}}}", entries.join(",")).into_bytes();
        let whole = facts(&input, Lexer::new(), 1 << 20).unwrap();
        let small = if long.is_some() { 997 } else { 1 };
        for level in Level::all() {
            for size in [small, small + 6, 64, 997, 4096] {
                let got = facts(&input, Lexer::with_level(level), size).unwrap();
                prop_assert_eq!(&got, &whole, "{:?} {}", level, size);
                let got = facts(&input, Lexer::with_level(level).of_validated(), size).unwrap();
                prop_assert_eq!(&got, &whole, "again: {:?} {}", level, size);
            }
        }
    }
}

#[test]
fn an_entry_is_told_nothing_of_the_one_before() {
    let looked_at = "sessionId sessionFile updatedAt startedAt endedAt runtimeMs status \
                     skillsSnapshot systemPromptReport modelOverride queueMode";
    let last = |name: &str, value: &str, next: &str| {
        let input = format!(r#"{{"a":{{"{name}":{value}}},"b":{next}}}"#).into_bytes();
        let facts = facts(&input, Lexer::new(), 1 << 20).unwrap();
        facts[facts.len() - 2].clone()
    };
    for name in looked_at.split_whitespace() {
        for value in ["1", r#""done""#, "{}"] {
            for next in ["{}", "1", r#"{"updatedAt":1}"#] {
                let other = "x".repeat(name.len());
                let expected = last(&other, value, next);
                assert_eq!(last(name, value, next), expected, "{name} {value}");
            }
        }
    }
}

struct Hashes<'a>(&'a [u8]);

impl EntryVisitor for Hashes<'_> {
    fn entry(&mut self, entry: &Entry, chunk: &Chunk<'_>) -> Result<()> {
        let member = &self.0[entry.places.span.start as usize..entry.places.span.end as usize];
        assert_eq!(entry.member_hash(chunk), XxHash3_128::oneshot(member));
        Ok(())
    }
}

#[test]
fn the_hash_of_a_member_is_the_same_at_every_chunking() {
    let input = br#"{ "a" : {"b": [1, 2], "c": "d"} , "e":1,"f"  :  "g" }"#.to_vec();
    for size in 1..=input.len() {
        let mut entries = Entries::new(Hashes(&input), 1);
        let lexer = Lexer::new();
        scan_with(lexer, size, &input, &Control::default(), &mut entries).unwrap();
    }
}

#[test]
fn a_control_that_looks_like_an_operator_is_refused_among_many_tokens() {
    for control in ["\x0c", "\x1a"] {
        for at in 0..40 {
            let values = "[1],".repeat(at) + "[1" + control + "," + &"[1],".repeat(40 - at);
            agree(
                format!(r#"{{"a":{{"b":[{values}0]}}}}"#).as_bytes(),
                &[1, 64, 4096],
            );
        }
    }
}
