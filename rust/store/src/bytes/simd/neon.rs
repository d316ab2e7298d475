//! NEON: four 16-byte vectors a block. Every aarch64 has it, so nothing is detected.
//!
//! The prefix exclusive-or is the trait's own, by shifts: carry-less multiplication is slower on
//! several cores and absent on others, the Raspberry Pi 4's among them.

use super::{Brackets, Kernel, Numbers, Separators, Strings, Structure, OPERATORS, SPACES};
use std::arch::aarch64::{
    uint8x16_t, vandq_u8, vceqq_u8, vcleq_u8, vdupq_n_u8, vgetq_lane_u64, vld1q_u8, vorrq_u8,
    vpaddq_u8, vqtbl1q_u8, vreinterpretq_u64_u8, vsubq_u8, vtstq_u8,
};

pub struct Neon;

/// Applies a function of one vector to all four and joins what comes out.
macro_rules! each {
    ($block:expr, $ask:ident $(, $more:expr)*) => {{
        let (a, b, c, d) = $block;
        mask($ask(a $(, $more)*), $ask(b $(, $more)*), $ask(c $(, $more)*), $ask(d $(, $more)*))
    }};
}

// SAFETY of all `unsafe` below: the target has NEON. `load` reads exactly the 64 bytes of its
// block; the tables and weights are 16 bytes long; the others touch no memory.

impl Kernel for Neon {
    type Block = (uint8x16_t, uint8x16_t, uint8x16_t, uint8x16_t);

    #[inline(always)]
    fn load(block: &[u8; 64]) -> Self::Block {
        // SAFETY: see above.
        unsafe {
            let at = block.as_ptr();
            (
                vld1q_u8(at),
                vld1q_u8(at.add(16)),
                vld1q_u8(at.add(32)),
                vld1q_u8(at.add(48)),
            )
        }
    }

    #[inline(always)]
    fn strings(block: Self::Block) -> Strings {
        // SAFETY: see above.
        unsafe {
            Strings {
                quote: each!(block, equal, b'"'),
                backslash: each!(block, equal, b'\\'),
                control: each!(block, at_most, 0x1F),
            }
        }
    }

    #[inline(always)]
    fn structure(block: Self::Block) -> Structure {
        // SAFETY: see above.
        unsafe {
            Structure {
                op: each!(block, op),
                space: each!(block, space),
            }
        }
    }

    #[inline(always)]
    fn separators(block: Self::Block) -> Separators {
        // SAFETY: see above.
        unsafe {
            Separators {
                colon: each!(block, equal, b':'),
                comma: each!(block, equal, b','),
            }
        }
    }

    #[inline(always)]
    fn brackets(block: Self::Block) -> Brackets {
        // SAFETY: see above.
        unsafe {
            Brackets {
                open: each!(block, folded, b'{'),
                close: each!(block, folded, b'}'),
            }
        }
    }

    #[inline(always)]
    fn curly(block: Self::Block) -> u64 {
        // SAFETY: see above.
        unsafe { each!(block, has, 0x20) }
    }

    #[inline(always)]
    fn numbers(block: Self::Block) -> Numbers {
        // SAFETY: see above.
        unsafe {
            Numbers {
                digit: each!(block, digit),
                zero: each!(block, equal, b'0'),
            }
        }
    }
}

/// Takes one bit of each byte of four comparisons: weighs them, and adds neighbours three times.
///
/// # Safety
/// NEON, here and below.
#[inline(always)]
unsafe fn mask(a: uint8x16_t, b: uint8x16_t, c: uint8x16_t, d: uint8x16_t) -> u64 {
    const WEIGHTS: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];
    // SAFETY: the caller has NEON, here and below.
    unsafe {
        let weights = vld1q_u8(WEIGHTS.as_ptr());
        let low = vpaddq_u8(vandq_u8(a, weights), vandq_u8(b, weights));
        let high = vpaddq_u8(vandq_u8(c, weights), vandq_u8(d, weights));
        let all = vpaddq_u8(low, high);
        vgetq_lane_u64::<0>(vreinterpretq_u64_u8(vpaddq_u8(all, all)))
    }
}

/// # Safety
/// NEON.
#[inline(always)]
unsafe fn equal(v: uint8x16_t, byte: u8) -> uint8x16_t {
    // SAFETY: the caller has NEON.
    unsafe { vceqq_u8(v, vdupq_n_u8(byte)) }
}

/// # Safety
/// NEON.
#[inline(always)]
unsafe fn at_most(v: uint8x16_t, byte: u8) -> uint8x16_t {
    // SAFETY: the caller has NEON.
    unsafe { vcleq_u8(v, vdupq_n_u8(byte)) }
}

/// # Safety
/// NEON.
#[inline(always)]
unsafe fn digit(v: uint8x16_t) -> uint8x16_t {
    // SAFETY: the caller has NEON.
    unsafe { at_most(vsubq_u8(v, vdupq_n_u8(b'0')), 9) }
}

/// Looks each byte up by its low nibble; one from 0x80 on gets 0, as x86's shuffle gives it.
///
/// # Safety
/// NEON.
#[inline(always)]
unsafe fn look_up(table: &[u8; 16], v: uint8x16_t) -> uint8x16_t {
    // SAFETY: the caller has NEON.
    unsafe { vqtbl1q_u8(vld1q_u8(table.as_ptr()), vandq_u8(v, vdupq_n_u8(0x8F))) }
}

/// # Safety
/// NEON.
#[inline(always)]
unsafe fn op(v: uint8x16_t) -> uint8x16_t {
    // SAFETY: the caller has NEON.
    unsafe { vceqq_u8(look_up(&OPERATORS, v), vorrq_u8(v, vdupq_n_u8(0x20))) }
}

/// Compares with a curly bracket, onto which the square one is folded.
///
/// # Safety
/// NEON.
#[inline(always)]
unsafe fn folded(v: uint8x16_t, byte: u8) -> uint8x16_t {
    // SAFETY: the caller has NEON.
    unsafe { equal(vorrq_u8(v, vdupq_n_u8(0x20)), byte) }
}

/// # Safety
/// NEON.
#[inline(always)]
unsafe fn has(v: uint8x16_t, bit: u8) -> uint8x16_t {
    // SAFETY: the caller has NEON.
    unsafe { vtstq_u8(v, vdupq_n_u8(bit)) }
}

/// # Safety
/// NEON.
#[inline(always)]
unsafe fn space(v: uint8x16_t) -> uint8x16_t {
    // SAFETY: the caller has NEON.
    unsafe { vceqq_u8(look_up(&SPACES, v), v) }
}
