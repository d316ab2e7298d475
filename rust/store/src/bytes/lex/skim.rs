//! Levels that are not reported, in bytes that were validated before: only the depth matters.

use super::strings::find_escaped;
use super::Lexer;
use crate::bytes::simd::{Brackets, Kernel};

impl Lexer {
    /// Passes over levels that are not reported, of which only the depth matters. Returns the
    /// bracket that closes the innermost level the lexer knows of, if it is in this block.
    #[inline(always)]
    pub(super) fn skim<K: Kernel>(&mut self, loaded: K::Block, outside: u64) -> Option<u64> {
        self.in_scalar = 0;
        let Brackets { open, close } = K::brackets(loaded);
        let (mut open, mut close) = (open & outside, close & outside);
        while u64::from(close.count_ones()) > self.skimmed {
            // It may end here. One run of closing brackets after the other, then.
            let bracket = close & close.wrapping_neg();
            let before = open & (bracket - 1);
            self.skimmed += u64::from(before.count_ones());
            open ^= before;
            if self.skimmed == 0 {
                self.state = self.after_value();
                return Some(bracket);
            }
            self.skimmed -= 1;
            close ^= bracket;
        }
        self.skimmed += u64::from(open.count_ones());
        self.skimmed -= u64::from(close.count_ones());
        None
    }

    /// Skims blocks up to the first in which the level may end; returns how many.
    #[inline(always)]
    pub(super) fn skim_blocks<K: Kernel>(&mut self, blocks: &[[u8; 64]]) -> usize {
        let (mut in_string, mut escaped, mut levels) = (self.in_string, self.escaped, self.skimmed);
        let mut done = 0;
        for block in blocks {
            let loaded = K::load(block);
            let masks = K::strings(loaded);
            if in_string == 0 || (masks.quote | masks.backslash | escaped) != 0 {
                let (skipped, carry) = find_escaped(masks.backslash, escaped);
                let quotes = masks.quote & !skipped;
                let strings = K::prefix_xor(quotes) ^ in_string;
                let outside = !(strings | quotes);
                let Brackets { open, close } = K::brackets(loaded);
                let closed = u64::from((close & outside).count_ones());
                if closed > levels {
                    break;
                }
                levels += u64::from((open & outside).count_ones());
                levels -= closed;
                in_string = 0u64.wrapping_sub(strings >> 63);
                escaped = carry;
            }
            done += 1;
        }
        (self.in_string, self.escaped, self.skimmed) = (in_string, escaped, levels);
        self.in_scalar = 0;
        done
    }
}
