//! Descriptors that Python owns, seen as `ReadAt`, `Read` and `Write`. The only `unsafe` here.

use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use tailflip_store::io::ReadAt;

/// A descriptor that the caller keeps open for the length of the call.
#[derive(Clone, Copy)]
pub struct Fd {
    raw: RawFd,
    /// Where sequential reads go on.
    at: u64,
}

impl Fd {
    /// Takes a descriptor on loan; sequential reads start at offset 0.
    pub fn new(raw: RawFd) -> Self {
        Self { raw, at: 0 }
    }

    fn borrow(&self) -> io::Result<BorrowedFd<'_>> {
        if self.raw < 0 {
            return Err(io::Error::from_raw_os_error(9)); // EBADF
        }
        // SAFETY: not -1, and Python's file object outlives the call that lent it.
        Ok(unsafe { BorrowedFd::borrow_raw(self.raw) })
    }

    /// Returns the file's size.
    pub fn size(&self) -> io::Result<u64> {
        let stat = rustix::fs::fstat(self.borrow()?)?;
        Ok(u64::try_from(stat.st_size).unwrap_or(0))
    }
}

impl ReadAt for Fd {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pread(self.borrow()?, buffer, offset)?)
    }
}

impl io::Read for Fd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl io::Write for Fd {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(self.borrow()?, bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
