//! Transcripts: slimmed, and put together again.

use crate::fd::Fd;
use crate::{json, raise, Control};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::io::Write;
use std::os::fd::RawFd;
use tailflip_store::input::io::ReadAt;
use tailflip_store::transcript::slim::measure;
use tailflip_store::transcript::unslim::digest;
use tailflip_store::transcript::{slim, unslim};
use tailflip_store::write::archive::Reader;

/// Longest name of an archive.
const NAME_BYTES: usize = 256;

/// A name stands in a text of JSON as it is.
fn check_name(name: &str) -> PyResult<()> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    if name.len() <= NAME_BYTES && name.bytes().all(is_plain) {
        return Ok(());
    }
    Err(PyValueError::new_err("not a name of an archive"))
}

#[pyfunction]
pub fn transcript_measure(
    py: Python<'_>,
    fd: RawFd,
    name: &str,
    control: &Control,
) -> PyResult<String> {
    check_name(name)?;
    let numbers = py.detach(|| {
        let input = Fd::new(fd);
        measure(&input, input.size()?, name, &control.0)
    });
    json(&numbers.map_err(raise)?)
}

#[pyfunction]
#[allow(clippy::too_many_arguments)]
pub fn transcript_slim(
    py: Python<'_>,
    fd_in: RawFd,
    fd_out: RawFd,
    fd_archive: RawFd,
    name: &str,
    now_ms: i64,
    control: &Control,
) -> PyResult<String> {
    check_name(name)?;
    let numbers = py.detach(|| {
        let input = Fd::new(fd_in);
        let (bytes, out, archive) = (input.size()?, Fd::new(fd_out), Fd::new(fd_archive));
        slim(&input, bytes, out, archive, name, now_ms, &control.0)
    });
    json(&numbers.map_err(raise)?)
}

#[pyfunction]
#[allow(clippy::too_many_arguments)]
pub fn transcript_unslim(
    py: Python<'_>,
    fd_in: RawFd,
    slim_bytes: u64,
    fd_out: RawFd,
    fd_archive: RawFd,
    fd_original: RawFd,
    name: &str,
    control: &Control,
) -> PyResult<String> {
    check_name(name)?;
    let numbers = py.detach(|| {
        let archive = Reader::new(Fd::new(fd_archive))?;
        let out: Box<dyn Write> = if fd_out < 0 {
            Box::new(std::io::sink())
        } else {
            Box::new(Fd::new(fd_out))
        };
        let original = Fd::new(fd_original);
        let original = (fd_original >= 0).then_some((&original as &dyn ReadAt, name));
        unslim(
            &Fd::new(fd_in),
            slim_bytes,
            out,
            archive,
            original,
            &control.0,
        )
    });
    json(&numbers.map_err(raise)?)
}

#[pyfunction]
pub fn transcript_digest(
    py: Python<'_>,
    fd: RawFd,
    start: u64,
    end: u64,
    control: &Control,
) -> PyResult<String> {
    py.detach(|| digest(&Fd::new(fd), start, end, &control.0))
        .map_err(raise)
}
