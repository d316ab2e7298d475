//! Archives, record by record.

use crate::fd::Fd;
use crate::{json, raise};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::os::fd::RawFd;
use std::sync::{Mutex, PoisonError};
use tailflip_store::input::error::Error;
use tailflip_store::write::archive::{Header, Reader, RecordWriter};

#[pyclass(frozen, module = "tailflip._native")]
pub struct ArchiveReader(Mutex<Reader<Fd>>);

#[pymethods]
impl ArchiveReader {
    #[new]
    fn new(fd: RawFd) -> PyResult<Self> {
        Ok(Self(Mutex::new(Reader::new(Fd::new(fd)).map_err(raise)?)))
    }

    fn next_headers(&self, py: Python<'_>, limit: usize) -> PyResult<Vec<String>> {
        let headers = py.detach(|| {
            let mut reader = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let mut headers = Vec::new();
            while headers.len() < limit {
                match reader.next_header()? {
                    Some(header) => headers.push(header),
                    None => break,
                }
            }
            Ok(headers)
        });
        headers.map_err(raise)?.iter().map(json).collect()
    }

    fn read<'py>(&self, py: Python<'py>, most: usize) -> PyResult<Bound<'py, PyBytes>> {
        let raw = py.detach(|| {
            let mut reader = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            reader.read(most)
        });
        Ok(PyBytes::new(py, &raw.map_err(raise)?))
    }
}

#[pyclass(frozen, module = "tailflip._native")]
pub struct ArchiveWriter(Mutex<Option<RecordWriter<Fd>>>);

impl ArchiveWriter {
    fn with(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut RecordWriter<Fd>) -> Result<(), Error> + Send,
    ) -> PyResult<()> {
        let done = py.detach(|| {
            let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            writer.as_mut().map(work)
        });
        done.ok_or_else(ended)?.map_err(raise)
    }
}

#[pymethods]
impl ArchiveWriter {
    #[new]
    fn new(fd: RawFd) -> PyResult<Self> {
        let writer = RecordWriter::new(Fd::new(fd)).map_err(raise)?;
        Ok(Self(Mutex::new(Some(writer))))
    }

    fn begin(&self, py: Python<'_>, header: &str) -> PyResult<()> {
        let header: Header = serde_json::from_str(header)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        self.with(py, |writer| writer.begin(&header))
    }

    fn write(&self, py: Python<'_>, raw: &[u8]) -> PyResult<()> {
        self.with(py, |writer| writer.write(raw))
    }

    fn finish(&self, py: Python<'_>) -> PyResult<String> {
        let numbers = py.detach(|| {
            let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            writer.take().map(RecordWriter::finish)
        });
        json(&numbers.ok_or_else(ended)?.map_err(raise)?)
    }
}

fn ended() -> PyErr {
    PyValueError::new_err("the archive was ended")
}
