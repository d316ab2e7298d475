//! Any input: the scanner agrees with an independent strict parser on the verdict and on every
//! entry's and field's bytes, with every kernel and at two chunkings; refusals name the same byte;
//! what entries say is the same everywhere.
#![no_main]

#[path = "../../store/tests/common/mod.rs"]
mod common;
#[path = "../../store/tests/common/record.rs"]
mod record;

use libfuzzer_sys::fuzz_target;
use tailflip_store::bytes::lex::Lexer;
use tailflip_store::bytes::simd::Level;

fuzz_target!(|data: &[u8]| {
    let Some((&size, input)) = data.split_first() else {
        return;
    };
    let expected = common::parse(input);
    let (mut refusal, mut first) = (None, None);
    for level in Level::all() {
        for buffer in [usize::from(size).max(1), 1 << 16] {
            let lexer = || Lexer::with_level(level);
            match record::run(input, lexer(), buffer) {
                Ok(seen) => {
                    assert_eq!(Some(&seen), expected.as_ref());
                    let again = record::run(input, lexer().of_validated(), buffer);
                    assert_eq!(again.ok(), expected);
                    let facts = record::facts(input, lexer(), buffer).expect("it was accepted");
                    assert_eq!(*first.get_or_insert_with(|| facts.clone()), facts);
                }
                Err(error) => {
                    assert_eq!(expected, None, "{error}");
                    let text = error.to_string();
                    assert_eq!(*refusal.get_or_insert_with(|| text.clone()), text);
                }
            }
        }
    }
});
