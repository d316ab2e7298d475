//! Tables of any number of records: what Python puts in, the engine looks up.

use crate::fd::{Fd, ScratchFile};
use crate::{raise, random, Control};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tailflip_store::entry::Status;
use tailflip_store::external_sort::{Records, Sorted, Spill};
use tailflip_store::judge::run_ends::{self, KnownRunEnds, RunEnd};
use tailflip_store::pass::ledger_join;
use tailflip_store::pass::{run_starts, verify};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn sealed() -> PyErr {
    PyValueError::new_err("it was looked up already, and takes no more")
}

fn terminal(status: &str) -> PyResult<Status> {
    match Status::from_text(status.as_bytes()) {
        Status::Other | Status::Running => Err(PyValueError::new_err(
            "status must be done, failed, killed or timeout",
        )),
        status => Ok(status),
    }
}

#[pyclass(frozen, module = "tailflip._native")]
pub struct Scratch(Option<Arc<Spill>>);

#[pymethods]
impl Scratch {
    #[new]
    fn new(fd: RawFd) -> PyResult<Self> {
        if fd < 0 {
            return Ok(Self(None));
        }
        let file = ScratchFile::of(fd).map_err(|error| raise(error.into()))?;
        Ok(Self(Some(Spill::new(Box::new(file)))))
    }
}

impl Scratch {
    /// Returns the file, if there is one.
    pub fn spill(&self) -> Option<Arc<Spill>> {
        self.0.clone()
    }
}

enum Gathered {
    Open(run_ends::RunEnds),
    Known(Arc<KnownRunEnds>),
    Failed,
}

#[pyclass(frozen, module = "tailflip._native")]
pub struct Ends(Mutex<Gathered>);

impl Ends {
    /// Ends the gathering, the first time.
    pub fn known(&self) -> PyResult<Arc<KnownRunEnds>> {
        let mut gathered = lock(&self.0);
        if let Gathered::Known(known) = &*gathered {
            return Ok(known.clone());
        }
        match std::mem::replace(&mut *gathered, Gathered::Failed) {
            Gathered::Open(ends) => {
                let known = Arc::new(ends.seal().map_err(raise)?);
                *gathered = Gathered::Known(known.clone());
                Ok(known)
            }
            _ => Err(sealed()),
        }
    }
}

#[pymethods]
impl Ends {
    #[new]
    fn new(scratch: &Scratch) -> Self {
        let ends = run_ends::RunEnds::new(random(), scratch.0.clone());
        Self(Mutex::new(Gathered::Open(ends)))
    }

    fn add(
        &self,
        key: &str,
        session_id: Option<&str>,
        status: &str,
        ended_at_ms: i64,
        runtime_ms: i64,
    ) -> PyResult<()> {
        let over = RunEnd {
            status: terminal(status)?,
            ended_at_ms,
            runtime_ms,
        };
        match (&mut *lock(&self.0), session_id) {
            (Gathered::Open(ends), None) => ends.add(key, over).map_err(raise),
            (Gathered::Open(ends), Some(id)) => ends.add_session(key, id, over).map_err(raise),
            _ => Err(sealed()),
        }
    }

    fn keep(&self, session_id: &str) -> PyResult<()> {
        match &mut *lock(&self.0) {
            Gathered::Open(ends) => ends.keep(session_id).map_err(raise),
            _ => Err(sealed()),
        }
    }

    fn is_kept(&self, session_id: &str) -> PyResult<bool> {
        self.known()?.is_living(session_id).map_err(raise)
    }

    fn find(
        &self,
        key: &str,
        session_id: Option<&str>,
    ) -> PyResult<Option<(&'static str, i64, i64)>> {
        let known = self.known()?;
        let found = match session_id {
            None => known.find_key(key),
            Some(session_id) => known.find_session(key, session_id),
        };
        let over = found.map_err(raise)?;
        Ok(over.map(|over| (over.status.name(), over.ended_at_ms, over.runtime_ms)))
    }
}

#[pyclass(frozen, module = "tailflip._native")]
pub struct Ledgers(Mutex<Option<ledger_join::LedgerLines>>);

#[pymethods]
impl Ledgers {
    #[new]
    fn new(scratch: &Scratch) -> Self {
        let ledgers = ledger_join::LedgerLines::new(random(), scratch.0.clone());
        Self(Mutex::new(Some(ledgers)))
    }

    #[allow(clippy::too_many_arguments)]
    fn add(
        &self,
        ledger: usize,
        job_id: &str,
        key: Option<&str>,
        session_id: &str,
        status: &str,
        started_ms: i64,
        ended_ms: i64,
    ) -> PyResult<()> {
        let line = ledger_join::Line {
            job: job_id,
            run: key.map(|key| (key, session_id)),
            status: terminal(status)?,
            started_ms,
            ended_ms,
        };
        let mut ledgers = lock(&self.0);
        let ledgers = ledgers.as_mut().ok_or_else(sealed)?;
        ledgers.add(ledger, &line).map_err(raise)
    }

    fn look_ahead(&self, py: Python<'_>, fd: RawFd, control: &Control) -> PyResult<Joined> {
        let ledgers = lock(&self.0).take().ok_or_else(sealed)?;
        py.detach(|| ledgers.look_ahead(&Fd::new(fd), &control.0))
            .map(Joined)
            .map_err(raise)
    }
}

#[pyclass(frozen, module = "tailflip._native")]
pub struct Joined(pub ledger_join::JoinedLedgers);

#[pyclass(frozen, module = "tailflip._native")]
pub struct Starts {
    starts: Mutex<run_starts::RunStarts>,
    records: Mutex<Option<Records>>,
}

#[pymethods]
impl Starts {
    #[new]
    fn new(seed: u64, scratch: &Scratch) -> Self {
        Self {
            starts: Mutex::new(run_starts::RunStarts::new(seed, scratch.0.clone())),
            records: Mutex::default(),
        }
    }

    fn add(&self, job_id: &str, at_ms: i64) -> PyResult<()> {
        lock(&self.starts).add(job_id, at_ms).map_err(raise)
    }

    fn gather(&self, py: Python<'_>, fd: RawFd, since_ms: i64, control: &Control) -> PyResult<()> {
        py.detach(|| lock(&self.starts).gather(&Fd::new(fd), since_ms, &control.0))
            .map_err(raise)
    }

    fn hash(&self, job_id: &str) -> u64 {
        lock(&self.starts).hash(job_id)
    }

    fn name(&self, job_hash: u64) -> Option<String> {
        lock(&self.starts).name(job_hash).map(str::to_owned)
    }

    fn next(&self, limit: usize) -> PyResult<Vec<(u64, i64)>> {
        let mut records = lock(&self.records);
        if records.is_none() {
            let sorted = Arc::new(lock(&self.starts).seal().map_err(raise)?);
            *records = Some(sorted.records());
        }
        let mut found = Vec::new();
        while let (Some(records), true) = (records.as_mut(), found.len() < limit) {
            match records.next().map_err(raise)? {
                Some(record) => found.push(record.key),
                None => break,
            }
        }
        Ok(found)
    }
}

#[pyclass(frozen, module = "tailflip._native")]
pub struct Sessions {
    seed: u64,
    found: Sorted,
}

#[pymethods]
impl Sessions {
    #[new]
    fn new(py: Python<'_>, fd: RawFd, scratch: &Scratch, control: &Control) -> PyResult<Self> {
        let (seed, spill) = (random(), scratch.spill());
        py.detach(|| verify::gather_sessions(&Fd::new(fd), seed, spill, &control.0))
            .map(|found| Self { seed, found })
            .map_err(raise)
    }

    fn has(&self, session_id: &str) -> PyResult<bool> {
        let key = verify::session_key(self.seed, session_id);
        Ok(self.found.get(key).map_err(raise)?.is_some())
    }
}
