//! Reads an archive back while it is written, in the pauses of who feeds it.
//!
//! It is decompressed whole. The checksum of its content was computed from what went in, so what
//! comes out is that; and the digest says that the file has the bytes that were written.

use crate::input::error::{Error, ErrorKind, Result};
use crate::input::io::{read_full, Control, ReadAt};
use crate::write::archive::WINDOW_LOG;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

/// Compressed bytes read at a time, and raw ones made of them: a step takes some 50 µs.
const IN_BYTES: usize = 16 * 1024;
const OUT_BYTES: usize = 128 * 1024;

/// A writer that tells how much was written.
pub(crate) struct Telling<'a, W> {
    pub inner: W,
    pub written: &'a AtomicU64,
}

impl<W: Write> Write for Telling<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.written.fetch_add(count as u64, Ordering::Release);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// What is to be read back, and how far that is.
pub(crate) struct ReadBack<'a> {
    file: &'a dyn ReadAt,
    written: &'a AtomicU64,
    decoder: Decoder<'static>,
    digest: blake3::Hasher,
    /// What was read and is not decompressed yet: `input[from..to]`.
    input: Vec<u8>,
    from: usize,
    to: usize,
    output: Vec<u8>,
    /// The decoder has more for us than fitted the last time.
    has_more: bool,
    is_whole: bool,
    archive_bytes: u64,
    raw_bytes: u64,
}

impl<'a> ReadBack<'a> {
    pub(crate) fn new(file: &'a dyn ReadAt, written: &'a AtomicU64) -> Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
        Ok(Self {
            file,
            written,
            decoder,
            digest: blake3::Hasher::new(),
            input: vec![0; IN_BYTES],
            from: 0,
            to: 0,
            output: vec![0; OUT_BYTES],
            has_more: false,
            is_whole: false,
            archive_bytes: 0,
            raw_bytes: 0,
        })
    }

    /// Takes some of what is there; false if there is nothing more yet.
    pub(crate) fn step(&mut self) -> Result<bool> {
        if self.from == self.to && !self.has_more && !self.fill()? {
            return Ok(false);
        }
        let mut input = InBuffer::around(&self.input[self.from..self.to]);
        let mut output = OutBuffer::around(self.output.as_mut_slice());
        let due = self.decoder.run(&mut input, &mut output);
        let (took, made) = (input.pos(), output.pos());
        self.from += took;
        self.raw_bytes += made as u64;
        match due {
            // Nothing may come after the end.
            Ok(due) if !self.is_whole => {
                self.is_whole = due == 0;
                self.has_more = due != 0 && made == OUT_BYTES;
                Ok(true)
            }
            _ => Err(self.damaged()),
        }
    }

    /// Reads what is left, now that all is written; returns its raw size, its size and its digest.
    pub(crate) fn finish(mut self, control: &Control) -> Result<(u64, u64, String)> {
        while self.step()? {
            control.check()?;
        }
        if !self.is_whole {
            return Err(self.damaged());
        }
        let digest = self.digest.finalize().to_hex().to_string();
        Ok((self.raw_bytes, self.archive_bytes, digest))
    }

    fn fill(&mut self) -> Result<bool> {
        let there = self.written.load(Ordering::Acquire) - self.archive_bytes;
        let most = usize::try_from(there).map_or(IN_BYTES, |there| there.min(IN_BYTES));
        if most == 0 {
            return Ok(false);
        }
        let count = read_full(self.file, &mut self.input[..most], self.archive_bytes)?;
        if count < most {
            return Err(self.damaged());
        }
        self.digest.update(&self.input[..count]);
        (self.from, self.to) = (0, count);
        self.archive_bytes += count as u64;
        Ok(true)
    }

    fn damaged(&self) -> Error {
        Error::invalid(ErrorKind::Archive, self.raw_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compressed(raw: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = zstd::Encoder::new(Vec::new(), 1)?;
        out.include_checksum(true)?;
        out.write_all(raw)?;
        out.finish()
    }

    /// Reads a file that grows to `len` bytes, `piece` at a time.
    fn read_back(file: &dyn ReadAt, len: usize, piece: usize) -> Result<(u64, u64, String)> {
        let written = AtomicU64::new(0);
        let mut back = ReadBack::new(file, &written)?;
        for at in (0..len).step_by(piece) {
            while back.step()? {}
            written.fetch_add(piece.min(len - at) as u64, Ordering::Release);
        }
        back.finish(&Control::default())
    }

    #[test]
    fn a_whole_archive_is_read_whole_however_it_grows() -> Result<()> {
        for len in [0, 1, OUT_BYTES - 1, OUT_BYTES, OUT_BYTES + 1, 3 * OUT_BYTES] {
            let even = vec![b'a'; len];
            let odd: Vec<u8> = (0..len)
                .map(|at| (at * at % 251).to_le_bytes()[0])
                .collect();
            for raw in [even, odd] {
                let file = compressed(&raw)?;
                let digest = blake3::hash(&file).to_hex().to_string();
                let whole = (len as u64, file.len() as u64, digest);
                for piece in [7, 1000, IN_BYTES, usize::MAX] {
                    assert_eq!(read_back(&file, file.len(), piece)?, whole);
                }
            }
        }
        Ok(())
    }

    #[test]
    fn an_archive_cut_short_or_with_something_after_it_is_damaged() -> Result<()> {
        let whole = compressed(&vec![b'a'; OUT_BYTES])?;
        let cut = (0..whole.len()).map(|len| whole[..len].to_vec());
        let twice = [whole.as_slice(), &whole].concat();
        let longer = [whole.as_slice(), b"\n"].concat();
        for file in cut.chain([twice, longer]) {
            let read = read_back(&file, file.len(), usize::MAX);
            let is_damaged = |error: &Error| error.to_string().contains("archive");
            assert!(read.as_ref().is_err_and(is_damaged), "{read:?}");
        }
        Ok(())
    }
}
