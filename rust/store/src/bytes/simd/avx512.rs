//! AVX-512: one vector a block, comparisons that give masks, and masks that pick bytes.

use super::avx2::Avx2;
use super::{
    Brackets, Kernel, Numbers, Separators, Strings, Structure, Work, AHEAD_BYTES, OPERATORS, SPACES,
};
use std::arch::x86_64::{
    __m512i, _mm512_add_epi16, _mm512_broadcast_i32x4, _mm512_castsi512_si256,
    _mm512_cmpeq_epi8_mask, _mm512_cmple_epu8_mask, _mm512_cvtepu8_epi16,
    _mm512_extracti64x4_epi64, _mm512_loadu_si512, _mm512_maskz_compress_epi8, _mm512_or_si512,
    _mm512_set1_epi16, _mm512_set1_epi8, _mm512_shuffle_epi8, _mm512_storeu_si512, _mm512_sub_epi8,
    _mm512_test_epi8_mask, _mm_loadu_si128, _mm_prefetch, _MM_HINT_T0,
};

/// Runs `work` compiled for AVX-512.
///
/// # Safety
///
/// The machine must have the features, as `Level::is_here` detects them.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
pub unsafe fn run<W: Work>(work: W) -> W::Output {
    work.run::<Avx512>()
}

/// Not constructible elsewhere: only [`run`] names it.
pub struct Avx512;

// SAFETY of all `unsafe` below: only reached through `run`, whose caller has detected the
// features. `load` reads exactly the 64 bytes of its block, look-ups the 16 bytes of their table,
// `positions` writes twice 64 bytes at most, which are 64 places; the others touch no memory.

impl Kernel for Avx512 {
    type Block = __m512i;

    #[inline(always)]
    fn load(block: &[u8; 64]) -> Self::Block {
        // SAFETY: see above; a prefetch is a hint, and of no address wrong.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(block.as_ptr().wrapping_add(AHEAD_BYTES).cast());
            _mm512_loadu_si512(block.as_ptr().cast())
        }
    }

    #[inline(always)]
    fn strings(block: Self::Block) -> Strings {
        // SAFETY: see above.
        unsafe {
            Strings {
                quote: equal(block, b'"'),
                backslash: equal(block, b'\\'),
                control: _mm512_cmple_epu8_mask(block, _mm512_set1_epi8(0x1F)),
            }
        }
    }

    #[inline(always)]
    fn structure(block: Self::Block) -> Structure {
        // SAFETY: see above.
        unsafe {
            let folded = _mm512_or_si512(block, _mm512_set1_epi8(0x20));
            let (op, space) = (look_up(&OPERATORS, block), look_up(&SPACES, block));
            Structure {
                op: _mm512_cmpeq_epi8_mask(op, folded),
                space: _mm512_cmpeq_epi8_mask(space, block),
            }
        }
    }

    #[inline(always)]
    fn separators(block: Self::Block) -> Separators {
        // SAFETY: see above.
        unsafe {
            Separators {
                colon: equal(block, b':'),
                comma: equal(block, b','),
            }
        }
    }

    #[inline(always)]
    fn brackets(block: Self::Block) -> Brackets {
        // SAFETY: see above.
        unsafe {
            // `[` and `]` lie 0x20 below `{` and `}`; nothing else is folded onto these.
            let folded = _mm512_or_si512(block, _mm512_set1_epi8(0x20));
            Brackets {
                open: equal(folded, b'{'),
                close: equal(folded, b'}'),
            }
        }
    }

    #[inline(always)]
    fn curly(block: Self::Block) -> u64 {
        // SAFETY: see above.
        unsafe { _mm512_test_epi8_mask(block, _mm512_set1_epi8(0x20)) }
    }

    #[inline(always)]
    fn numbers(block: Self::Block) -> Numbers {
        // SAFETY: see above.
        unsafe {
            let digits = _mm512_sub_epi8(block, _mm512_set1_epi8(0x30));
            Numbers {
                digit: _mm512_cmple_epu8_mask(digits, _mm512_set1_epi8(9)),
                zero: equal(block, b'0'),
            }
        }
    }

    #[inline(always)]
    fn prefix_xor(bits: u64) -> u64 {
        Avx2::prefix_xor(bits)
    }

    #[inline(always)]
    fn positions(bits: u64, from: u16, into: &mut [u16; 64]) {
        // SAFETY: see above.
        unsafe {
            let all = _mm512_loadu_si512(BYTES.as_ptr().cast());
            let found = _mm512_maskz_compress_epi8(bits, all);
            let from = _mm512_set1_epi16(from.cast_signed());
            let (low, high) = into.split_at_mut(32);
            let places = _mm512_cvtepu8_epi16(_mm512_castsi512_si256(found));
            _mm512_storeu_si512(low.as_mut_ptr().cast(), _mm512_add_epi16(places, from));
            if bits.count_ones() > 32 {
                let places = _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64::<1>(found));
                _mm512_storeu_si512(high.as_mut_ptr().cast(), _mm512_add_epi16(places, from));
            }
        }
    }
}

/// The place of each byte in a block.
#[allow(clippy::cast_possible_truncation)] // below 64
const BYTES: [u8; 64] = {
    let mut bytes = [0; 64];
    let mut at = 0;
    while at < 64 {
        bytes[at] = at as u8;
        at += 1;
    }
    bytes
};

/// # Safety
/// AVX-512BW.
#[inline(always)]
unsafe fn equal(block: __m512i, byte: u8) -> u64 {
    // SAFETY: the caller has AVX-512BW.
    unsafe { _mm512_cmpeq_epi8_mask(block, _mm512_set1_epi8(byte.cast_signed())) }
}

/// Replaces each byte below 0x80 by that of `table` which its low nibble says, others by 0.
///
/// # Safety
/// AVX-512BW.
#[inline(always)]
unsafe fn look_up(table: &[u8; 16], block: __m512i) -> __m512i {
    // SAFETY: the caller has AVX-512BW; exactly the 16 bytes are read.
    unsafe {
        let table = _mm_loadu_si128(table.as_ptr().cast());
        _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), block)
    }
}
