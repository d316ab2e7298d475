//! AVX2 and PCLMULQDQ: two 32-byte vectors a block.

use super::{Kernel, Masks, Work};
use std::arch::x86_64::{
    __m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_min_epu8, _mm256_movemask_epi8,
    _mm256_or_si256, _mm256_set1_epi8, _mm256_setr_epi8, _mm256_shuffle_epi8, _mm_clmulepi64_si128,
    _mm_cvtsi128_si64, _mm_set1_epi8, _mm_set_epi64x,
};

/// Runs `work` compiled for AVX2.
///
/// # Safety
///
/// The machine must have AVX2 and PCLMULQDQ.
#[target_feature(enable = "avx2,pclmulqdq")]
pub unsafe fn run<W: Work>(work: W) -> W::Output {
    work.run::<Avx2>()
}

/// Not constructible elsewhere: only [`run`] names it.
pub struct Avx2;

impl Kernel for Avx2 {
    #[inline(always)]
    fn classify(block: &[u8; 64]) -> Masks {
        // SAFETY: only reached through `run`, whose caller has detected the features; the two
        // unaligned loads read exactly the 64 bytes of `block`.
        unsafe {
            let low = _mm256_loadu_si256(block.as_ptr().cast());
            let high = _mm256_loadu_si256(block.as_ptr().add(32).cast());
            Masks {
                quote: equal(low, high, b'"'),
                backslash: equal(low, high, b'\\'),
                op: join(op(low), op(high)),
                space: join(space(low), space(high)),
                control: join(control(low), control(high)),
            }
        }
    }

    #[inline(always)]
    fn prefix_xor(bits: u64) -> u64 {
        // SAFETY: as above; a carry-less product with all ones is the prefix exclusive-or.
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
unsafe fn equal(low: __m256i, high: __m256i, byte: u8) -> u64 {
    // SAFETY: the caller has AVX2.
    unsafe {
        #[allow(clippy::cast_possible_wrap)]
        let byte = _mm256_set1_epi8(byte as i8);
        join(_mm256_cmpeq_epi8(low, byte), _mm256_cmpeq_epi8(high, byte))
    }
}

/// Operators by their low nibble: `:` A, `{` B, `,` C, `}` D; `[` and `]` are 0x20 below.
///
/// # Safety
/// AVX2.
#[inline(always)]
unsafe fn op(v: __m256i) -> __m256i {
    // SAFETY: the caller has AVX2.
    unsafe {
        #[rustfmt::skip]
        let table = _mm256_setr_epi8(
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x3A, 0x7B, 0x2C, 0x7D, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x3A, 0x7B, 0x2C, 0x7D, 0, 0,
        );
        let folded = _mm256_or_si256(v, _mm256_set1_epi8(0x20));
        _mm256_cmpeq_epi8(_mm256_shuffle_epi8(table, v), folded)
    }
}

/// White space by its low nibble; other slots hold a byte of another nibble.
///
/// # Safety
/// AVX2.
#[inline(always)]
unsafe fn space(v: __m256i) -> __m256i {
    // SAFETY: the caller has AVX2.
    unsafe {
        #[rustfmt::skip]
        let table = _mm256_setr_epi8(
            0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0x09, 0x0A, 0, 0, 0x0D, 0, 0,
            0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0x09, 0x0A, 0, 0, 0x0D, 0, 0,
        );
        // Bytes from 0x80 look up 0, which they are not; byte 0 has nibble 0 and looks up 0x20.
        _mm256_cmpeq_epi8(_mm256_shuffle_epi8(table, v), v)
    }
}

/// # Safety
/// AVX2.
#[inline(always)]
unsafe fn control(v: __m256i) -> __m256i {
    // SAFETY: the caller has AVX2.
    unsafe { _mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(0x1F)), v) }
}
