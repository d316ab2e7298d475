//! SSSE3: four 16-byte vectors a block. No carry-less multiplication, which came later.

use super::{
    Brackets, Kernel, Numbers, Separators, Strings, Structure, Work, AHEAD_BYTES, OPERATORS, SPACES,
};
use std::arch::x86_64::{
    __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
    _mm_prefetch, _mm_set1_epi8, _mm_shuffle_epi8, _mm_slli_epi16, _mm_sub_epi8, _MM_HINT_T0,
};

/// Runs `work` compiled for SSSE3.
///
/// # Safety
///
/// The machine must have SSSE3.
#[target_feature(enable = "ssse3")]
pub unsafe fn run<W: Work>(work: W) -> W::Output {
    work.run::<Ssse3>()
}

/// Not constructible elsewhere: only [`run`] names it.
pub struct Ssse3;

/// Applies a function of one vector to all four and joins what comes out.
macro_rules! each {
    ($block:expr, $ask:ident $(, $more:expr)*) => {{
        let (a, b, c, d) = $block;
        mask($ask(a $(, $more)*))
            | mask($ask(b $(, $more)*)) << 16
            | mask($ask(c $(, $more)*)) << 32
            | mask($ask(d $(, $more)*)) << 48
    }};
}

// SAFETY of all `unsafe` below: only reached through `run`, whose caller has detected SSSE3.
// `load` reads exactly the 64 bytes of its block, look-ups the 16 bytes of their table; the others
// touch no memory.

impl Kernel for Ssse3 {
    type Block = (__m128i, __m128i, __m128i, __m128i);

    #[inline(always)]
    fn load(block: &[u8; 64]) -> Self::Block {
        // SAFETY: see above; a prefetch is a hint, and of no address wrong.
        unsafe {
            let at = block.as_ptr();
            _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD_BYTES).cast());
            (
                _mm_loadu_si128(at.cast()),
                _mm_loadu_si128(at.add(16).cast()),
                _mm_loadu_si128(at.add(32).cast()),
                _mm_loadu_si128(at.add(48).cast()),
            )
        }
    }

    #[inline(always)]
    fn strings(block: Self::Block) -> Strings {
        // SAFETY: see above.
        unsafe {
            Strings {
                quote: each!(block, equal, 0x22),
                backslash: each!(block, equal, 0x5C),
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
                colon: each!(block, equal, 0x3A),
                comma: each!(block, equal, 0x2C),
            }
        }
    }

    #[inline(always)]
    fn brackets(block: Self::Block) -> Brackets {
        // SAFETY: see above.
        unsafe {
            Brackets {
                open: each!(block, folded, 0x7B),
                close: each!(block, folded, 0x7D),
            }
        }
    }

    #[inline(always)]
    fn curly(block: Self::Block) -> u64 {
        // SAFETY: see above.
        unsafe { each!(block, curly_bit) }
    }

    #[inline(always)]
    fn numbers(block: Self::Block) -> Numbers {
        // SAFETY: see above.
        unsafe {
            Numbers {
                digit: each!(block, digit),
                zero: each!(block, equal, 0x30),
            }
        }
    }
}

/// # Safety
/// SSSE3, here and below.
#[inline(always)]
unsafe fn mask(v: __m128i) -> u64 {
    // SAFETY: the caller has SSSE3, here and below.
    let bits = unsafe { _mm_movemask_epi8(v) };
    #[allow(clippy::cast_sign_loss)] // sixteen bits
    let bits = bits as u32;
    u64::from(bits)
}

/// # Safety
/// SSSE3.
#[inline(always)]
unsafe fn equal(v: __m128i, byte: i8) -> __m128i {
    // SAFETY: the caller has SSSE3.
    unsafe { _mm_cmpeq_epi8(v, _mm_set1_epi8(byte)) }
}

/// # Safety
/// SSSE3.
#[inline(always)]
unsafe fn at_most(v: __m128i, byte: i8) -> __m128i {
    // SAFETY: the caller has SSSE3.
    unsafe { _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(byte)), v) }
}

/// # Safety
/// SSSE3.
#[inline(always)]
unsafe fn digit(v: __m128i) -> __m128i {
    // SAFETY: the caller has SSSE3.
    unsafe { at_most(_mm_sub_epi8(v, _mm_set1_epi8(0x30)), 9) }
}

/// # Safety
/// SSSE3.
#[inline(always)]
unsafe fn op(v: __m128i) -> __m128i {
    // SAFETY: the caller has SSSE3.
    unsafe {
        let folded = _mm_or_si128(v, _mm_set1_epi8(0x20));
        _mm_cmpeq_epi8(look_up(&OPERATORS, v), folded)
    }
}

/// Compares with a curly bracket, onto which the square one is folded.
///
/// # Safety
/// SSSE3.
#[inline(always)]
unsafe fn folded(v: __m128i, byte: i8) -> __m128i {
    // SAFETY: the caller has SSSE3.
    unsafe { equal(_mm_or_si128(v, _mm_set1_epi8(0x20)), byte) }
}

/// Brings bit 0x20 of each byte, which curly brackets have, to where a mask is taken from.
///
/// # Safety
/// SSSE3.
#[inline(always)]
unsafe fn curly_bit(v: __m128i) -> __m128i {
    // SAFETY: the caller has SSSE3.
    unsafe { _mm_slli_epi16::<2>(v) }
}

/// # Safety
/// SSSE3.
#[inline(always)]
unsafe fn space(v: __m128i) -> __m128i {
    // SAFETY: the caller has SSSE3.
    unsafe { _mm_cmpeq_epi8(look_up(&SPACES, v), v) }
}

/// Replaces each byte below 0x80 by that of `table` which its low nibble says, others by 0.
///
/// # Safety
/// SSSE3.
#[inline(always)]
unsafe fn look_up(table: &[u8; 16], v: __m128i) -> __m128i {
    // SAFETY: the caller has SSSE3; exactly the 16 bytes are read.
    unsafe { _mm_shuffle_epi8(_mm_loadu_si128(table.as_ptr().cast()), v) }
}
