//! Any input: the scanner agrees with an independent strict parser on the verdict and on every
//! entry's range, with every kernel and at two chunkings; refusals name the same byte.
#![no_main]

#[path = "../../store/tests/common/mod.rs"]
mod common;

use libfuzzer_sys::fuzz_target;
use tailflip_store::entry::{Entries, Entry, EntryVisitor};
use tailflip_store::error::Result;
use tailflip_store::io::{scan_with, Control};
use tailflip_store::lex::{Chunk, Lexer};
use tailflip_store::simd::Level;

#[derive(Default)]
struct Spans(Vec<(usize, usize)>);

impl EntryVisitor for Spans {
    fn entry(&mut self, entry: &Entry, _: &Chunk<'_>) -> Result<()> {
        self.0.push((entry.span.start as usize, entry.span.end as usize));
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&size, input)) = data.split_first() else { return };
    let input = input.to_vec();
    let expected: Option<Vec<_>> =
        common::parse(&input).map(|seen| seen.iter().map(|one| one.span).collect());
    let mut refusal = None;
    for level in Level::all() {
        for buffer in [usize::from(size).max(1), 1 << 16] {
            let mut entries = Entries::new(Spans::default(), 1);
            let lexer = Lexer::with_level(level);
            match scan_with(lexer, buffer, &input, &Control::default(), &mut entries) {
                Ok(_) => assert_eq!(Some(entries.inner.0), expected),
                Err(error) => {
                    assert_eq!(expected, None, "{error}");
                    let text = error.to_string();
                    assert_eq!(*refusal.get_or_insert_with(|| text.clone()), text);
                }
            }
        }
    }
});
