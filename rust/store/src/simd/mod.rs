//! Classifies 64 bytes into bit masks: the only module with `unsafe`.
//!
//! A [`Kernel`] is chosen once per process; [`dispatch`] runs a whole buffer inside a function
//! that carries the kernel's target features, so that everything marked `#[inline(always)]`
//! below it is compiled with them. A closure would not be (rust-lang/rust#58279): use methods.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod portable;

use std::sync::OnceLock;

/// One bit a byte of a 64-byte block, lowest bit first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Masks {
    /// `"`
    pub quote: u64,
    /// `\`
    pub backslash: u64,
    /// `{ } [ ] : ,`, and the controls 0x0C and 0x1A, which the lexer tells apart.
    pub op: u64,
    /// Space, tab, line feed, carriage return.
    pub space: u64,
    /// Below 0x20.
    pub control: u64,
}

/// A way to compute [`Masks`].
pub trait Kernel {
    /// Classifies one block.
    fn classify(block: &[u8; 64]) -> Masks;
    /// Returns for each bit the exclusive-or of all bits up to and including it.
    fn prefix_xor(bits: u64) -> u64;
}

/// The kernels of this build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Table look-ups, any machine.
    Portable,
    /// x86-64 with AVX2 and carry-less multiplication.
    #[cfg(target_arch = "x86_64")]
    Avx2,
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
        let mut levels = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2")
            && std::arch::is_x86_feature_detected!("pclmulqdq")
        {
            levels.push(Self::Avx2);
        }
        levels
    }

    /// Returns the kernel's name for `--version`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
        }
    }
}

/// Work that is generic over the kernel. `run` must be `#[inline(always)]`.
pub trait Work {
    /// What the work returns.
    type Output;
    /// Does it.
    fn run<K: Kernel>(self) -> Self::Output;
}

/// Runs `work` with the kernel of `level`.
///
/// # Panics
///
/// Never: a level only comes from [`Level::all`] or is portable.
pub fn dispatch<W: Work>(level: Level, work: W) -> W::Output {
    match level {
        Level::Portable => work.run::<portable::Portable>(),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Level::Avx2` is only made by `Level::all` after the features were detected.
        // (It can be named by others, so it is checked again; the check is a cached load.)
        Level::Avx2 if Level::best() == Level::Avx2 => unsafe { avx2::run(work) },
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => work.run::<portable::Portable>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Classify<'a>(&'a [u8; 64]);

    impl Work for Classify<'_> {
        type Output = (Masks, u64);
        #[inline(always)]
        fn run<K: Kernel>(self) -> Self::Output {
            let masks = K::classify(self.0);
            (masks, K::prefix_xor(masks.quote))
        }
    }

    #[test]
    fn every_kernel_classifies_every_byte_alike() {
        for byte in 0..=255u8 {
            for at in [0usize, 15, 16, 31, 32, 63] {
                let mut block = [b'x'; 64];
                block[at] = byte;
                block[(at + 7) % 64] = b'"';
                let expected = dispatch(Level::Portable, Classify(&block));
                assert_eq!(expected.0.control & (1 << at) != 0, byte < 0x20);
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
