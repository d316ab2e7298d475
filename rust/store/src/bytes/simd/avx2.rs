//! AVX2 and PCLMULQDQ: two 32-byte vectors a block.

use super::{
    Brackets, Kernel, Numbers, Separators, Strings, Structure, Work, AHEAD_BYTES, OPERATORS, SPACES,
};
use std::arch::x86_64::{
    __m256i, _mm256_broadcastsi128_si256, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_min_epu8,
    _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8, _mm256_shuffle_epi8,
    _mm256_slli_epi16, _mm256_sub_epi8, _mm_clmulepi64_si128, _mm_cvtsi128_si64, _mm_loadu_si128,
    _mm_prefetch, _mm_set1_epi8, _mm_set_epi64x, _MM_HINT_T0,
};

/// Runs `work` compiled for AVX2.
///
/// # Safety
///
/// The machine must have the features, as `Level::is_here` detects them.
#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
pub unsafe fn run<W: Work>(work: W) -> W::Output {
    work.run::<Avx2>()
}

/// Not constructible elsewhere: only [`run`] names it.
pub struct Avx2;

// SAFETY of all `unsafe` below: only reached through `run`, whose caller has detected the
// features. `load` reads exactly the 64 bytes of its block, look-ups the 16 bytes of their table;
// the others touch no memory.

impl Kernel for Avx2 {
    type Block = (__m256i, __m256i);

    #[inline(always)]
    fn load(block: &[u8; 64]) -> Self::Block {
        // SAFETY: see above; a prefetch is a hint, and of no address wrong.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(block.as_ptr().wrapping_add(AHEAD_BYTES).cast());
            (
                _mm256_loadu_si256(block.as_ptr().cast()),
                _mm256_loadu_si256(block.as_ptr().add(32).cast()),
            )
        }
    }

    #[inline(always)]
    fn strings((low, high): Self::Block) -> Strings {
        // SAFETY: see above.
        unsafe {
            Strings {
                quote: join(equal(low, b'"'), equal(high, b'"')),
                backslash: join(equal(low, b'\\'), equal(high, b'\\')),
                control: join(at_most(low, 0x1F), at_most(high, 0x1F)),
            }
        }
    }

    #[inline(always)]
    fn structure((low, high): Self::Block) -> Structure {
        // SAFETY: see above.
        unsafe {
            Structure {
                op: join(op(low), op(high)),
                space: join(space(low), space(high)),
            }
        }
    }

    #[inline(always)]
    fn separators((low, high): Self::Block) -> Separators {
        // SAFETY: see above.
        unsafe {
            Separators {
                colon: join(equal(low, b':'), equal(high, b':')),
                comma: join(equal(low, b','), equal(high, b',')),
            }
        }
    }

    #[inline(always)]
    fn brackets((low, high): Self::Block) -> Brackets {
        // SAFETY: see above.
        unsafe {
            // `[` and `]` lie 0x20 below `{` and `}`; nothing else is folded onto these.
            let fold = _mm256_set1_epi8(0x20);
            let (low, high) = (_mm256_or_si256(low, fold), _mm256_or_si256(high, fold));
            Brackets {
                open: join(equal(low, b'{'), equal(high, b'{')),
                close: join(equal(low, b'}'), equal(high, b'}')),
            }
        }
    }

    #[inline(always)]
    fn curly((low, high): Self::Block) -> u64 {
        // SAFETY: see above; bit 0x20 of each byte comes to lie where the mask is taken from.
        unsafe { join(_mm256_slli_epi16::<2>(low), _mm256_slli_epi16::<2>(high)) }
    }

    #[inline(always)]
    fn numbers((low, high): Self::Block) -> Numbers {
        // SAFETY: see above.
        unsafe {
            let zero = _mm256_set1_epi8(0x30);
            Numbers {
                digit: join(
                    at_most(_mm256_sub_epi8(low, zero), 9),
                    at_most(_mm256_sub_epi8(high, zero), 9),
                ),
                zero: join(equal(low, b'0'), equal(high, b'0')),
            }
        }
    }

    #[inline(always)]
    fn prefix_xor(bits: u64) -> u64 {
        // SAFETY: see above; a carry-less product with all ones is the prefix exclusive-or.
        unsafe {
            #[allow(clippy::cast_possible_wrap, clippy::cast_sign_loss)] // bit patterns
            let product =
                _mm_clmulepi64_si128::<0>(_mm_set_epi64x(0, bits as i64), _mm_set1_epi8(-1));
            #[allow(clippy::cast_sign_loss)]
            let low = _mm_cvtsi128_si64(product) as u64;
            low
        }
    }
}

/// # Safety
/// AVX2.
#[inline(always)]
unsafe fn join(low: __m256i, high: __m256i) -> u64 {
    // SAFETY: the caller has AVX2.
    unsafe {
        #[allow(clippy::cast_sign_loss)] // bit patterns
        let (low, high) = (
            _mm256_movemask_epi8(low) as u32,
            _mm256_movemask_epi8(high) as u32,
        );
        u64::from(low) | (u64::from(high) << 32)
    }
}

/// # Safety
/// AVX2.
#[inline(always)]
unsafe fn equal(v: __m256i, byte: u8) -> __m256i {
    // SAFETY: the caller has AVX2.
    unsafe {
        #[allow(clippy::cast_possible_wrap)]
        let byte = _mm256_set1_epi8(byte as i8);
        _mm256_cmpeq_epi8(v, byte)
    }
}

/// # Safety
/// AVX2.
#[inline(always)]
unsafe fn at_most(v: __m256i, byte: i8) -> __m256i {
    // SAFETY: the caller has AVX2.
    unsafe { _mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(byte)), v) }
}

/// # Safety
/// AVX2.
#[inline(always)]
unsafe fn op(v: __m256i) -> __m256i {
    // SAFETY: the caller has AVX2.
    unsafe {
        let folded = _mm256_or_si256(v, _mm256_set1_epi8(0x20));
        _mm256_cmpeq_epi8(look_up(&OPERATORS, v), folded)
    }
}

/// # Safety
/// AVX2.
#[inline(always)]
unsafe fn space(v: __m256i) -> __m256i {
    // SAFETY: the caller has AVX2.
    unsafe { _mm256_cmpeq_epi8(look_up(&SPACES, v), v) }
}

/// Replaces each byte below 0x80 by that of `table` which its low nibble says, others by 0.
///
/// # Safety
/// AVX2.
#[inline(always)]
unsafe fn look_up(table: &[u8; 16], v: __m256i) -> __m256i {
    // SAFETY: the caller has AVX2; exactly the 16 bytes are read.
    unsafe {
        let table = _mm_loadu_si128(table.as_ptr().cast());
        _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), v)
    }
}
