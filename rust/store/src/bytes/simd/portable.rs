//! The reference kernel: one table look-up a byte.

use super::{Brackets, Kernel, Numbers, Separators, Strings, Structure};

const QUOTE: u8 = 1;
const BACKSLASH: u8 = 2;
const OP: u8 = 4;
/// White space; among operators `:` and those that open.
const SPACE: u8 = 8;
const CONTROL: u8 = 16;
/// Among operators those that are curly.
const DIGIT: u8 = 32;
const ZERO: u8 = 64;
/// Among operators `,` and those that open.
const COMMA: u8 = 128;

const CLASS: [u8; 256] = {
    let mut table = [0u8; 256];
    let mut byte = 0usize;
    while byte < 256 {
        #[allow(clippy::cast_possible_truncation)] // byte < 256
        let b = byte as u8;
        table[byte] = match b {
            b'"' => QUOTE,
            b'\\' => BACKSLASH,
            b']' => OP,
            b'}' => OP | DIGIT,
            b':' => OP | SPACE,
            b',' => OP | COMMA,
            b'[' => OP | SPACE | COMMA,
            b'{' => OP | SPACE | COMMA | DIGIT,
            // The vector kernels see these two as operators; so that all agree, so do we.
            0x0C | 0x1A => OP | CONTROL,
            b' ' => SPACE,
            b'\t' | b'\n' | b'\r' => SPACE | CONTROL,
            0..=0x1F => CONTROL,
            b'0' => DIGIT | ZERO,
            b'1'..=b'9' => DIGIT,
            _ => 0,
        };
        byte += 1;
    }
    table
};

pub struct Portable;

/// Returns a mask of the bytes whose class has `flag`. Eight bytes at a time: a product gathers
/// their bits.
#[inline(always)]
fn ask(classes: &[u8; 64], flag: u8) -> u64 {
    const LOWEST: u64 = 0x0101_0101_0101_0101;
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let (words, _) = classes.as_chunks::<8>();
    let mut mask = 0;
    for (at, word) in words.iter().enumerate() {
        let bits = u64::from_le_bytes(*word) >> flag.trailing_zeros() & LOWEST;
        mask |= (bits.wrapping_mul(GATHER) >> 56) << (8 * at);
    }
    mask
}

impl Kernel for Portable {
    /// The class of each byte.
    type Block = [u8; 64];

    #[inline(always)]
    fn load(block: &[u8; 64]) -> Self::Block {
        block.map(|byte| CLASS[usize::from(byte)])
    }

    #[inline(always)]
    fn strings(block: Self::Block) -> Strings {
        Strings {
            quote: ask(&block, QUOTE),
            backslash: ask(&block, BACKSLASH),
            control: ask(&block, CONTROL),
        }
    }

    #[inline(always)]
    fn structure(block: Self::Block) -> Structure {
        let op = ask(&block, OP);
        Structure {
            op,
            space: ask(&block, SPACE) & !op,
        }
    }

    #[inline(always)]
    fn separators(block: Self::Block) -> Separators {
        let colon = ask(&block, OP) & ask(&block, SPACE);
        let comma = ask(&block, COMMA);
        Separators {
            colon: colon & !comma,
            comma: comma & !colon,
        }
    }

    #[inline(always)]
    fn brackets(block: Self::Block) -> Brackets {
        let (op, space, comma) = (ask(&block, OP), ask(&block, SPACE), ask(&block, COMMA));
        let control = ask(&block, CONTROL);
        Brackets {
            open: space & comma,
            close: op & !(space | comma | control),
        }
    }

    #[inline(always)]
    fn curly(block: Self::Block) -> u64 {
        ask(&block, DIGIT)
    }

    #[inline(always)]
    fn numbers(block: Self::Block) -> Numbers {
        Numbers {
            digit: ask(&block, DIGIT) & !ask(&block, OP),
            zero: ask(&block, ZERO),
        }
    }
}
