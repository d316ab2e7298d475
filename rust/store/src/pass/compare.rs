//! Digests a file, and says whether another one begins with the same bytes.

use crate::input::digest::Digest;
use crate::input::error::Result;
use crate::input::io::{read_full, Control, ReadAt};
use crate::input::limits::BUFFER_BYTES;

/// What [`compare`] saw of the whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// Bytes read.
    pub bytes: u64,
    /// BLAKE3 of them in hex.
    pub digest: String,
    /// The other file begins with all of these bytes; false where there is none.
    pub is_prefix: bool,
}

/// Reads a file whole and, as far as they are alike, the beginning of another beside it.
///
/// # Errors
///
/// `Io` or `Cancelled`.
///
/// # Memory
///
/// Two buffers of 256 KiB.
pub fn compare(
    input: &dyn ReadAt,
    other: Option<&dyn ReadAt>,
    control: &Control,
) -> Result<Compared> {
    let mut digest = blake3::Hasher::default();
    let (mut own, mut theirs) = (vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
    let (mut bytes, mut is_prefix) = (0, other.is_some());
    loop {
        let filled = read_full(input, &mut own, bytes)?;
        if filled == 0 {
            break;
        }
        Digest::update(&mut digest, &own[..filled]);
        if let (true, Some(other)) = (is_prefix, other) {
            let got = read_full(other, &mut theirs[..filled], bytes)?;
            is_prefix = theirs[..got] == own[..filled];
        }
        bytes += filled as u64;
        control.advance(filled)?;
    }
    Ok(Compared {
        bytes,
        digest: digest.to_hex(),
        is_prefix,
    })
}
