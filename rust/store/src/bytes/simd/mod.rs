//! Classifies 64 bytes into bit masks: the only module with `unsafe`.
//!
//! A [`Kernel`] is chosen once per process; [`dispatch`] runs a whole buffer inside a function
//! that carries the kernel's target features, so that everything marked `#[inline(always)]`
//! below it is compiled with them. A closure would not be (rust-lang/rust#58279): use methods.
//!
//! The masks come in groups, because most blocks need only the first ([`Kernel::strings`]).

#![allow(unsafe_code)] // vector instructions; nothing else of the crate may, see tests/rooms.rs

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(target_arch = "x86_64")]
mod ssse3;

use std::sync::OnceLock;

/// What matters inside a string. One bit a byte of a 64-byte block, lowest bit first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Strings {
    /// `"`
    pub quote: u64,
    /// `\`
    pub backslash: u64,
    /// Below 0x20.
    pub control: u64,
}

/// What matters outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Structure {
    /// `{ } [ ] : ,`, and the controls 0x0C and 0x1A, which the lexer tells apart.
    pub op: u64,
    /// Space, tab, line feed, carriage return.
    pub space: u64,
}

/// The operators between values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Separators {
    /// `:`
    pub colon: u64,
    /// `,`
    pub comma: u64,
}

/// The operators around values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Brackets {
    /// `{ [`
    pub open: u64,
    /// `} ]`
    pub close: u64,
}

/// What matters in a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Numbers {
    /// `0` to `9`
    pub digit: u64,
    /// `0`
    pub zero: u64,
}

/// How far ahead of the block at hand the caches are asked for input: another core has read it, and
/// has it in its own.
#[cfg(target_arch = "x86_64")]
const AHEAD_BYTES: usize = 1024;

/// Operators by their low nibble, for kernels that look bytes up by it; `[` and `]` are 0x20 below
/// `{` and `}`.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const OPERATORS: [u8; 16] = *b"\0\0\0\0\0\0\0\0\0\0:{,}\0\0";

/// White space by its low nibble; other slots hold a byte of another nibble. Bytes from 0x80 look
/// up 0, which they are not; byte 0 has nibble 0 and looks up a space.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const SPACES: [u8; 16] = *b" \0\0\0\0\0\0\0\0\t\n\0\0\r\0\0";

/// A way to compute the masks.
pub trait Kernel {
    /// A block, as the kernel holds it.
    type Block: Copy;
    /// Loads a block of 64 bytes.
    fn load(block: &[u8; 64]) -> Self::Block;
    /// Returns masks of quotes, backslashes and control characters.
    fn strings(block: Self::Block) -> Strings;
    /// Returns masks of operators and white space.
    fn structure(block: Self::Block) -> Structure;
    /// Returns masks of colons and commas.
    fn separators(block: Self::Block) -> Separators;
    /// Returns masks of opening and closing brackets.
    fn brackets(block: Self::Block) -> Brackets;
    /// Returns a mask that is set for curly brackets and clear for square ones. Bits of other bytes
    /// mean nothing.
    fn curly(block: Self::Block) -> u64;
    /// Returns masks of digits and zeros.
    fn numbers(block: Self::Block) -> Numbers;
    /// Returns for each bit the exclusive-or of all bits up to and including it.
    #[must_use]
    #[inline(always)]
    fn prefix_xor(bits: u64) -> u64 {
        let mut bits = bits ^ (bits << 1);
        bits ^= bits << 2;
        bits ^= bits << 4;
        bits ^= bits << 8;
        bits ^= bits << 16;
        bits ^ (bits << 32)
    }
    /// Writes the positions of all bits of a block that begins at `from`, and anything after them.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // 64 at most
    fn positions(mut bits: u64, from: u16, into: &mut [u16; 64]) {
        // Some at a time, rather than asking after each whether it was the last.
        for group in into.as_chunks_mut::<4>().0 {
            if bits == 0 {
                return;
            }
            for at in group {
                *at = from + bits.trailing_zeros() as u16;
                bits &= bits.wrapping_sub(1);
            }
        }
    }
}

/// The kernels of this build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Table look-ups, any machine.
    Portable,
    /// x86-64 with SSSE3: small machines of the last fifteen years.
    #[cfg(target_arch = "x86_64")]
    Ssse3,
    /// x86-64 with AVX2 and carry-less multiplication.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// x86-64 with AVX-512 and VBMI2: servers since 2021, and recent machines of AMD.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// Every aarch64.
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Level {
    /// Returns the best kernel of this machine, detected once.
    #[must_use]
    pub fn best() -> Self {
        static BEST: OnceLock<Level> = OnceLock::new();
        *BEST.get_or_init(|| Self::all().pop().unwrap_or(Self::Portable))
    }

    /// Returns every kernel this machine can run, slowest first.
    #[must_use]
    pub fn all() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        let all = [Self::Portable, Self::Ssse3, Self::Avx2, Self::Avx512];
        #[cfg(target_arch = "aarch64")]
        let all = [Self::Portable, Self::Neon];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let all = [Self::Portable];
        all.into_iter().filter(|one| one.is_here()).collect()
    }

    /// Says whether this machine can run it. The check is a cached load.
    fn is_here(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Ssse3 => std::arch::is_x86_feature_detected!("ssse3"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                std::arch::is_x86_feature_detected!("avx2")
                    && std::arch::is_x86_feature_detected!("pclmulqdq")
                    && std::arch::is_x86_feature_detected!("bmi1")
                    && std::arch::is_x86_feature_detected!("bmi2")
                    && std::arch::is_x86_feature_detected!("lzcnt")
                    && std::arch::is_x86_feature_detected!("popcnt")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.is_here()
                    && std::arch::is_x86_feature_detected!("avx512f")
                    && std::arch::is_x86_feature_detected!("avx512bw")
                    && std::arch::is_x86_feature_detected!("avx512vbmi2")
            }
            #[cfg(target_arch = "aarch64")]
            Self::Neon => true, // part of every aarch64 that Rust has a target with std for
        }
    }

    /// Returns the kernel's name for `--version`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Ssse3 => "ssse3",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
            #[cfg(target_arch = "aarch64")]
            Self::Neon => "neon",
        }
    }
}

/// Work that is generic over the kernel. `run` must be `#[inline(always)]`.
pub trait Work {
    /// What the work returns.
    type Output;
    /// Does the work with a kernel.
    fn run<K: Kernel>(self) -> Self::Output;
}

/// Runs `work` with the kernel of `level`; with the portable one where the machine lacks it.
pub fn dispatch<W: Work>(level: Level, work: W) -> W::Output {
    match level {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the features were detected just now.
        Level::Avx512 if level.is_here() => unsafe { avx512::run(work) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx2 if level.is_here() => unsafe { avx2::run(work) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Ssse3 if level.is_here() => unsafe { ssse3::run(work) },
        #[cfg(target_arch = "aarch64")]
        Level::Neon => work.run::<neon::Neon>(),
        _ => work.run::<portable::Portable>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Classify<'a>(&'a [u8; 64]);

    impl Work for Classify<'_> {
        type Output = (Strings, Structure, Separators, Brackets, Numbers, u64, u64);
        #[inline(always)]
        fn run<K: Kernel>(self) -> Self::Output {
            let block = K::load(self.0);
            let strings = K::strings(block);
            let prefix = K::prefix_xor(strings.quote);
            let brackets = K::brackets(block);
            let curly = K::curly(block) & (brackets.open | brackets.close);
            (
                strings,
                K::structure(block),
                K::separators(block),
                brackets,
                K::numbers(block),
                prefix,
                curly,
            )
        }
    }

    struct FindPlaces(u64, u16);

    impl Work for FindPlaces {
        type Output = Vec<u16>;
        #[inline(always)]
        fn run<K: Kernel>(self) -> Self::Output {
            let mut places = [0; 64];
            K::positions(self.0, self.1, &mut places);
            places[..self.0.count_ones() as usize].to_vec()
        }
    }

    #[test]
    fn every_kernel_finds_the_positions_of_all_bits() {
        let sparse = (0..64).map(|at| 1u64 << at);
        let dense = (0..=64).map(|count| u64::MAX.checked_shr(count).unwrap_or(0));
        let mixed = (1..100u64).map(|one| one.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        for bits in sparse.chain(dense).chain(mixed) {
            for from in [0u16, 64, 4032] {
                let expected: Vec<u16> = (0..64u16)
                    .filter(|at| bits >> at & 1 != 0)
                    .map(|at| from + at)
                    .collect();
                for level in Level::all() {
                    let found = dispatch(level, FindPlaces(bits, from));
                    assert_eq!(found, expected, "{bits:#x} {from} {level:?}");
                }
            }
        }
    }

    #[test]
    fn every_kernel_classifies_every_byte_alike() {
        for byte in 0..=255u8 {
            for at in [0usize, 1, 15, 16, 31, 32, 47, 48, 62, 63] {
                let mut block = [b'x'; 64];
                block[at] = byte;
                block[(at + 7) % 64] = b'"';
                let expected = dispatch(Level::Portable, Classify(&block));
                let bit = 1u64 << at;
                assert_eq!(expected.0.control & bit != 0, byte < 0x20);
                assert_eq!(expected.4.digit & bit != 0, byte.is_ascii_digit());
                assert_eq!(expected.6 & bit != 0, matches!(byte, b'{' | b'}'));
                for level in Level::all() {
                    assert_eq!(
                        dispatch(level, Classify(&block)),
                        expected,
                        "{byte:#x} {level:?}"
                    );
                }
            }
        }
    }
}
