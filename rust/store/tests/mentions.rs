//! Names that are looked for in any bytes: none that a record has is missed, in any way of writing.

#![allow(clippy::unwrap_used, clippy::panic, clippy::pedantic, missing_docs)]

use proptest::prelude::*;
use tailflip_store::input::io::{Control, ReadAt};
use tailflip_store::input::limits::{BUFFER_BYTES, MENTIONS};
use tailflip_store::pass::compare;
use tailflip_store::pass::mentions::{Mentions, Refused};

const NAMES: [&str; 4] = [
    "1b4e28ba-2fa1-41d2-883f-0016d3cca427",
    "1b4e28ba-2fa1-41d2-883f-0016d3cca428",
    "1b4e28ba",
    "Main.topic-7",
];

fn ask(text: &[u8]) -> Vec<usize> {
    let mut mentions = Mentions::new(NAMES).unwrap();
    let text = text.to_vec();
    let read = mentions.scan(&text, &Control::default()).unwrap();
    assert_eq!(read, text.len() as u64);
    mentions.found()
}

#[test]
fn a_name_is_found_wherever_its_bytes_stand() {
    assert_eq!(ask(b""), [] as [usize; 0]);
    assert_eq!(ask(b"1b4e28b"), [] as [usize; 0]);
    assert_eq!(
        ask(b"{\"a\":\"x/1b4e28ba-2fa1-41d2-883f-0016d3cca427.jsonl\"}"),
        [0, 2]
    );
    assert_eq!(ask(b"\xff\0MAIN.TOPIC-7\xfe"), [3]);
}

#[test]
fn no_escape_hides_a_name_in_a_text_or_in_a_text_of_a_text() {
    for text in [
        r"\u006dain.topic-7",
        r"m\u0061\u0069n.topic-7",
        r"\\u006dain.topic-7",
        r"\u005cu006dain.topic-7",
        r"\u005C\u005cu006Dain.topic\u002d7",
        r"\\\\\\\u006dain.topic-7",
    ] {
        assert_eq!(ask(text.as_bytes()), [3], "{text}");
    }
    for text in [
        r"\u00e4ain.topic-7",
        r"\u06dain.topic-7",
        r"\nain.topic-7",
        r"main\u0000.topic-7",
    ] {
        assert_eq!(ask(text.as_bytes()), [] as [usize; 0], "{text}");
    }
}

#[test]
fn a_text_ends_where_another_begins() {
    let mut mentions = Mentions::new(NAMES).unwrap();
    for part in ["Main.", "topic-7", "\\u006", "dain.topic-7"] {
        mentions.begin();
        mentions.feed(part.as_bytes());
    }
    assert_eq!(mentions.found(), [] as [usize; 0]);
}

#[test]
fn what_cannot_be_asked_for_is_refused() {
    let long = "n".repeat(256);
    for name in ["seven..", "größerer Name", "a\\name-of-it", long.as_str()] {
        assert_eq!(Mentions::new([name]).err(), Some(Refused::Name), "{name}");
    }
    let many: Vec<String> = (0..=MENTIONS).map(|n| format!("name-{n:08}")).collect();
    let many = many.iter().map(String::as_str);
    assert_eq!(Mentions::new(many).err(), Some(Refused::TooMany));
}

#[test]
fn names_that_begin_alike_cost_no_more_than_their_lengths() {
    let names: Vec<String> = (0..MENTIONS)
        .map(|n| format!("agent:main:{n:06}"))
        .collect();
    let mut mentions = Mentions::new(names.iter().map(String::as_str)).unwrap();
    let text = "agent:main:".repeat(200_000) + "agent:main:000007";
    let began = std::time::Instant::now();
    mentions.feed(text.as_bytes());
    assert_eq!(mentions.found(), [7]);
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

/// Writes a text as JSON may: each character as it is, or escaped at some depth.
fn write(text: &str, how: &[u8]) -> String {
    let mut written = String::new();
    for (at, char) in text.chars().enumerate() {
        match how.get(at).copied().unwrap_or(0) % 5 {
            1 => written += &format!("\\u{:04x}", char as u32),
            2 => written += &format!("\\\\u{:04X}", char as u32),
            3 => written += &format!("\\u005cu{:04x}", char as u32),
            4 => written.push(char.to_ascii_uppercase()),
            _ => written.push(char),
        }
    }
    written
}

proptest! {
    #[test]
    fn any_way_of_writing_at_any_edge_is_found(
        before in prop::collection::vec(any::<u8>(), 0..40),
        how in prop::collection::vec(any::<u8>(), 0..40),
        which in 0usize..NAMES.len(),
        far in any::<bool>(),
        after in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        // What is before may end in the half of an escape, which would take the name's first letters.
        let filler = if far { BUFFER_BYTES - before.len() - 20 } else { 0 };
        let mut text = vec![b'.'; filler];
        text.extend(&before);
        text.push(b'"');
        text.extend(write(NAMES[which], &how).into_bytes());
        text.extend(&after);
        prop_assert!(ask(&text).contains(&which));
    }

    #[test]
    fn what_is_plain_is_found_as_a_search_finds_it(
        text in "[1b4e28a.-]{0,60}(1b4e28ba)?[-2fa1]{0,30}(main.topic-)?[67]?",
        cut in 0usize..100,
    ) {
        let lower = text.to_lowercase();
        let expected: Vec<usize> = (0..NAMES.len())
            .filter(|at| lower.contains(&NAMES[*at].to_lowercase()))
            .collect();
        let mut mentions = Mentions::new(NAMES).unwrap();
        let (one, two) = text.as_bytes().split_at(cut.min(text.len()));
        mentions.feed(one);
        mentions.feed(two);
        prop_assert_eq!(mentions.found(), expected);
    }

    #[test]
    fn a_prefix_is_a_prefix(
        text in prop::collection::vec(any::<u8>(), 0..3000),
        cut in 0usize..3000,
        flip in any::<u16>(),
    ) {
        let own = text[..cut.min(text.len())].to_vec();
        let seen = compare(&own, Some(&text as &dyn ReadAt), &Control::default()).unwrap();
        prop_assert!(seen.is_prefix);
        prop_assert_eq!(seen.digest, blake3::hash(&own).to_hex().to_string());
        if !own.is_empty() {
            let mut other = own.clone();
            let at = usize::from(flip) % own.len();
            other[at] ^= 1;
            let seen = compare(&other, Some(&text as &dyn ReadAt), &Control::default()).unwrap();
            prop_assert!(!seen.is_prefix);
        }
    }
}
