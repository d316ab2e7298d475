//! Names that are looked for in files, as Python asks for them.

use crate::fd::Fd;
use crate::{raise, Control};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::os::fd::RawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tailflip_store::pass::mentions::{self, Refused};

#[pyclass(frozen, module = "tailflip._native")]
pub struct Mentions(Mutex<mentions::Mentions>);

impl Mentions {
    fn asked(&self) -> MutexGuard<'_, mentions::Mentions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Mentions {
    #[new]
    fn new(names: Vec<String>) -> PyResult<Self> {
        mentions::Mentions::new(names)
            .map(|asked| Self(Mutex::new(asked)))
            .map_err(|why| {
                PyValueError::new_err(match why {
                    Refused::TooMany => "too many names",
                    Refused::Name => "not a name to ask for",
                })
            })
    }

    fn scan(&self, py: Python<'_>, fd: RawFd, control: &Control) -> PyResult<u64> {
        py.detach(|| self.asked().scan(&Fd::new(fd), &control.0))
            .map_err(raise)
    }

    fn begin(&self) {
        self.asked().begin();
    }

    fn feed(&self, py: Python<'_>, text: &[u8]) {
        py.detach(|| self.asked().feed(text));
    }

    fn found(&self) -> Vec<usize> {
        self.asked().found()
    }
}
