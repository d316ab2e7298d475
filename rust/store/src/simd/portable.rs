//! The reference kernel: one table look-up a byte.

use super::{Kernel, Masks};

const QUOTE: u8 = 1;
const BACKSLASH: u8 = 2;
const OP: u8 = 4;
const SPACE: u8 = 8;
const CONTROL: u8 = 16;

const CLASS: [u8; 256] = {
    let mut table = [0u8; 256];
    let mut byte = 0usize;
    while byte < 256 {
        #[allow(clippy::cast_possible_truncation)] // byte < 256
        let b = byte as u8;
        table[byte] = match b {
            b'"' => QUOTE,
            b'\\' => BACKSLASH,
            b'{' | b'}' | b'[' | b']' | b':' | b',' => OP,
            b' ' => SPACE,
            b'\t' | b'\n' | b'\r' => SPACE | CONTROL,
            // The vector kernels see these two as operators; so that all agree, so do we.
            0x0C | 0x1A => OP | CONTROL,
            0..=0x1F => CONTROL,
            _ => 0,
        };
        byte += 1;
    }
    table
};

pub struct Portable;

impl Kernel for Portable {
    #[inline(always)]
    fn classify(block: &[u8; 64]) -> Masks {
        let mut masks = Masks::default();
        for (at, &byte) in block.iter().enumerate() {
            let class = CLASS[usize::from(byte)];
            if class == 0 {
                continue;
            }
            let bit = |flag: u8| u64::from(class & flag != 0) << at;
            masks.quote |= bit(QUOTE);
            masks.backslash |= bit(BACKSLASH);
            masks.op |= bit(OP);
            masks.space |= bit(SPACE);
            masks.control |= bit(CONTROL);
        }
        masks
    }

    #[inline(always)]
    fn prefix_xor(mut bits: u64) -> u64 {
        bits ^= bits << 1;
        bits ^= bits << 2;
        bits ^= bits << 4;
        bits ^= bits << 8;
        bits ^= bits << 16;
        bits ^ (bits << 32)
    }
}
