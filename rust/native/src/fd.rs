//! Descriptors that Python owns, seen as `ReadAt`, `Read` and `Write`.
//!
//! All `unsafe` of the extension is here and in `memory`: that a descriptor on loan stays open is a
//! promise of its lender, which no type can hold, and `sync_file_range` has no safe face.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::fs::FileExt;
use tailflip_store::external_sort::Scratch;
use tailflip_store::input::io::ReadAt;

/// Written between two requests to write back. Less would only take time from the writing: what
/// is left at the end goes to the medium while the file is read back.
const WRITE_BACK_BYTES: u64 = 256 << 20;
/// Written before the last request and not yet on the medium, at most.
const DIRTY_BYTES: u64 = 256 << 20;

/// A descriptor that the caller keeps open for the length of the call.
#[derive(Clone, Copy)]
pub struct Fd {
    raw: RawFd,
    /// Where sequential reads go on.
    at: u64,
    /// What was written through it, to a file that was empty.
    written: u64,
    /// How much of that the kernel was asked to write back.
    asked: u64,
}

impl Fd {
    /// Takes a descriptor on loan; sequential reads start at offset 0.
    pub fn new(raw: RawFd) -> Self {
        Self {
            raw,
            at: 0,
            written: 0,
            asked: 0,
        }
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

impl Fd {
    /// Asks the kernel to begin writing back, and waits for what is [`DIRTY_BYTES`] behind, so
    /// that a large store does not fill the memory of a small machine with dirty pages.
    #[cfg(target_os = "linux")]
    fn write_back(&mut self) -> io::Result<()> {
        let range = |from: u64, to: u64, flags| -> io::Result<()> {
            let (Ok(offset), Ok(bytes)) = (i64::try_from(from), i64::try_from(to - from)) else {
                return Ok(());
            };
            // SAFETY: no memory is passed, and Python's file object outlives the call.
            if unsafe { libc::sync_file_range(self.raw, offset, bytes, flags) } == 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                // Not a file, or not known here: it was only advice.
                Some(libc::ESPIPE | libc::EINVAL | libc::ENOSYS) => Ok(()),
                // An error of the medium is told only once: the last sync would not tell it.
                _ => Err(error),
            }
        };
        let old = |to: u64| to.saturating_sub(DIRTY_BYTES);
        range(self.asked, self.written, libc::SYNC_FILE_RANGE_WRITE)?;
        if old(self.written) > old(self.asked) {
            let wait = libc::SYNC_FILE_RANGE_WAIT_BEFORE
                | libc::SYNC_FILE_RANGE_WRITE
                | libc::SYNC_FILE_RANGE_WAIT_AFTER;
            range(old(self.asked), old(self.written), wait)?;
        }
        self.asked = self.written;
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn write_back(&mut self) -> io::Result<()> {
        self.asked = self.written;
        Ok(())
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
        let count = rustix::io::write(self.borrow()?, bytes)?;
        self.written += count as u64;
        if self.written - self.asked >= WRITE_BACK_BYTES {
            self.write_back()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A scratch file, by a descriptor of its own: it lives as long as the tables in it.
pub struct ScratchFile(File);

impl ScratchFile {
    /// Duplicates a descriptor.
    pub fn of(raw: RawFd) -> io::Result<Self> {
        let own = Fd::new(raw).borrow()?.try_clone_to_owned()?;
        Ok(Self(File::from(own)))
    }
}

impl ReadAt for ScratchFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }
}

impl Scratch for ScratchFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }
}
