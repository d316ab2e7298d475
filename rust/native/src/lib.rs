//! `tailflip._native`: the store crate as Python sees it. One call = GIL released throughout.
//!
//! Documented in `python/tailflip/_native.pyi`.

mod archives;
mod fd;
mod memory;
mod mentions;
mod names;
mod rows;
mod tables;
mod transcripts;

use archives::{ArchiveReader, ArchiveWriter};
use fd::Fd;
use mentions::Mentions;
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyOSError, PyValueError};
use pyo3::prelude::*;
use rows::RowJudge;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::Write;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, PoisonError};
use tables::{Ends, Joined, Ledgers, Scratch, Sessions, Starts};
use tailflip_store::bytes::simd;
use tailflip_store::entry::key::KeyKind;
use tailflip_store::input::error::Error;
use tailflip_store::input::{io, limits};
use tailflip_store::judge::{evidence, policy};
use tailflip_store::pass::{compare, list_entries, restore, rewrite, salvage, survey, verify};
use tailflip_store::write::archive;
use transcripts::{transcript_digest, transcript_measure, transcript_slim, transcript_unslim};

create_exception!(
    _native,
    StoreInvalid,
    PyException,
    "The store is not what it must be: (kind, offset)."
);
create_exception!(
    _native,
    Cancelled,
    PyException,
    "The call was cancelled; nothing was completed."
);

fn raise(error: Error) -> PyErr {
    match error {
        Error::Invalid { kind, offset } => StoreInvalid::new_err((kind.name(), offset)),
        Error::Io(error) => match error.raw_os_error() {
            Some(code) => PyOSError::new_err((code, error.to_string())),
            // A table that is full and has no file to go on in.
            None if error.kind() == std::io::ErrorKind::StorageFull => {
                PyOSError::new_err((28, error.to_string()))
            }
            None => PyOSError::new_err((5, error.to_string())),
        },
        Error::Cancelled => Cancelled::new_err(()),
    }
}

fn json<T: serde::Serialize>(value: &T) -> PyResult<String> {
    serde_json::to_string(value).map_err(|error| PyValueError::new_err(error.to_string()))
}

fn check_cap(name: &str, cap: Option<usize>, most: usize) -> PyResult<()> {
    match cap {
        Some(cap) if !(1..=most).contains(&cap) => Err(PyValueError::new_err(format!(
            "{name} must be from 1 to {most}"
        ))),
        _ => Ok(()),
    }
}

fn random() -> u64 {
    RandomState::new().hash_one(0u8)
}

#[pyclass(frozen, module = "tailflip._native")]
struct Control(Arc<io::Control>);

#[pymethods]
impl Control {
    #[new]
    fn new() -> Self {
        memory::keep_no_large_blocks(); // every call has one of these
        Self(Arc::default())
    }

    fn cancel(&self) {
        self.0.cancel();
    }

    #[getter]
    fn done_bytes(&self) -> u64 {
        self.0.done_bytes()
    }
}

#[pyclass(frozen, module = "tailflip._native")]
struct Evidence(Mutex<evidence::Evidence>);

impl Evidence {
    fn with<T>(&self, work: impl FnOnce(&mut evidence::Evidence) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[pymethods]
impl Evidence {
    #[new]
    fn new(ends: Option<&Ends>) -> PyResult<Self> {
        let known = match ends {
            Some(ends) => evidence::Evidence::new(ends.known()?),
            None => evidence::Evidence::empty(random()),
        };
        Ok(Self(Mutex::new(known)))
    }

    fn add_live_session(&self, session_id: &str) -> bool {
        self.with(|evidence| evidence.add_live_session(session_id))
    }

    fn add_protected_key(&self, key: &str) -> bool {
        self.with(|evidence| evidence.add_protected_key(key))
    }

    fn add_dropped_key(&self, key: &str) -> bool {
        self.with(|evidence| evidence.add_dropped_key(key))
    }
}

#[pyclass(frozen, module = "tailflip._native")]
struct Policy(policy::Policy);

#[pymethods]
impl Policy {
    #[new]
    #[pyo3(signature = (*, now_ms, slim_runs, slim_idle_ms, retire, retention_ms, max_lifetime_ms,
                        single_flight, cap_per_job, cap_total, drop_kinds, owner_died_before_ms,
                        knows_ends))]
    #[allow(clippy::too_many_arguments, clippy::fn_params_excessive_bools)] // all by name
    fn new(
        now_ms: i64,
        slim_runs: bool,
        slim_idle_ms: Option<i64>,
        retire: bool,
        retention_ms: Option<i64>,
        max_lifetime_ms: Option<i64>,
        single_flight: bool,
        cap_per_job: Option<usize>,
        cap_total: Option<usize>,
        drop_kinds: Vec<(String, i64)>,
        owner_died_before_ms: Option<i64>,
        knows_ends: bool,
    ) -> PyResult<Self> {
        check_cap("cap_per_job", cap_per_job, limits::CAP_PER_JOB)?;
        check_cap("cap_total", cap_total, limits::CAP_TOTAL)?;
        let named = drop_kinds.into_iter().map(|(name, limit)| {
            let kind = KeyKind::droppable(&name)
                .ok_or_else(|| PyValueError::new_err(format!("not a kind to drop: {name}")))?;
            Ok((kind, limit))
        });
        let drop_kinds = named.collect::<PyResult<_>>()?;
        Ok(Self(policy::Policy {
            now_ms,
            slim_runs,
            slim_idle_ms,
            retire,
            retention_ms,
            max_lifetime_ms,
            single_flight,
            cap_per_job,
            cap_total,
            drop_kinds,
            owner_died_before_ms,
            knows_ends,
        }))
    }
}

#[pyclass(frozen, module = "tailflip._native")]
struct Survey(survey::Survey);

#[pymethods]
impl Survey {
    #[getter]
    fn json(&self) -> PyResult<String> {
        json(&self.0.numbers)
    }
}

#[pyfunction]
fn features() -> String {
    format!(
        "{} {}",
        simd::Level::best().name(),
        env!("CARGO_PKG_VERSION")
    )
}

#[pyfunction(name = "survey")]
fn survey_store(
    py: Python<'_>,
    fd: RawFd,
    policy: &Policy,
    evidence: &Evidence,
    control: &Control,
) -> PyResult<Survey> {
    py.detach(|| evidence.with(|evidence| survey(&Fd::new(fd), &policy.0, evidence, &control.0)))
        .map(Survey)
        .map_err(raise)
}

#[pyfunction(name = "rewrite")]
#[allow(clippy::too_many_arguments)]
fn rewrite_store(
    py: Python<'_>,
    fd_in: RawFd,
    fd_out: RawFd,
    fd_archive: RawFd,
    policy: &Policy,
    evidence: &Evidence,
    survey: &Survey,
    control: &Control,
) -> PyResult<String> {
    let numbers = py.detach(|| {
        evidence.with(|evidence| {
            rewrite(
                &Fd::new(fd_in),
                Fd::new(fd_out),
                Fd::new(fd_archive),
                &Fd::new(fd_archive),
                &policy.0,
                evidence,
                &survey.0,
                &control.0,
            )
        })
    });
    json(&numbers.map_err(raise)?)
}

#[pyfunction(name = "verify")]
fn verify_store(py: Python<'_>, fd: RawFd, control: &Control) -> PyResult<String> {
    json(
        &py.detach(|| verify(&Fd::new(fd), &control.0))
            .map_err(raise)?,
    )
}

#[pyfunction(name = "list_entries")]
fn list_store(
    py: Python<'_>,
    fd_in: RawFd,
    fd_out: RawFd,
    joined: Option<&Joined>,
    control: &Control,
) -> PyResult<u64> {
    let joined = joined.map(|joined| &joined.0);
    py.detach(|| list_entries(&Fd::new(fd_in), joined, Fd::new(fd_out), &control.0))
        .map_err(raise)
}

#[pyfunction(name = "salvage")]
fn salvage_store(
    py: Python<'_>,
    fd_in: RawFd,
    fd_out: RawFd,
    control: &Control,
) -> PyResult<String> {
    let numbers = py.detach(|| {
        let input = Fd::new(fd_in);
        let bytes = input.size()?;
        if fd_out < 0 {
            salvage(&input, bytes, std::io::sink(), &control.0)
        } else {
            salvage(&input, bytes, Fd::new(fd_out), &control.0)
        }
    });
    json(&numbers.map_err(raise)?)
}

#[pyfunction]
fn archive_verify(py: Python<'_>, fd: RawFd, control: &Control) -> PyResult<String> {
    json(
        &py.detach(|| archive::verify(Fd::new(fd), &control.0))
            .map_err(raise)?,
    )
}

#[pyfunction(name = "compare")]
fn compare_files(
    py: Python<'_>,
    fd: RawFd,
    fd_other: RawFd,
    control: &Control,
) -> PyResult<(u64, String, bool)> {
    let (own, other) = (Fd::new(fd), Fd::new(fd_other));
    let other: Option<&dyn io::ReadAt> = if fd_other < 0 { None } else { Some(&other) };
    py.detach(|| compare(&own, other, &control.0))
        .map(|seen| (seen.bytes, seen.digest, seen.is_prefix))
        .map_err(raise)
}

#[pyfunction(name = "restore")]
fn restore_store(
    py: Python<'_>,
    fd_store: RawFd,
    fd_out: RawFd,
    fd_archive: RawFd,
    selection: &str,
    scratch: &Scratch,
    control: &Control,
) -> PyResult<String> {
    let selection: restore::Selection = serde_json::from_str(selection)
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    let numbers = py.detach(|| {
        let store = Fd::new(fd_store);
        let open = || archive::Reader::new(Fd::new(fd_archive));
        let out: Box<dyn Write> = if fd_out < 0 {
            Box::new(std::io::sink())
        } else {
            Box::new(Fd::new(fd_out))
        };
        let (seed, spill) = (random(), scratch.spill());
        restore(&store, out, open, &selection, seed, spill, &control.0)
    });
    json(&numbers.map_err(raise)?)
}

#[pymodule(gil_used = false)]
mod _native {
    #[pymodule_export]
    use super::{
        archive_verify, compare_files, features, list_store, restore_store, rewrite_store,
        salvage_store, survey_store, transcript_digest, transcript_measure, transcript_slim,
        transcript_unslim, verify_store, ArchiveReader, ArchiveWriter, Cancelled, Control, Ends,
        Evidence, Joined, Ledgers, Mentions, Policy, RowJudge, Scratch, Sessions, Starts,
        StoreInvalid, Survey,
    };

    #[pymodule_init]
    fn init(module: &super::Bound<'_, super::PyModule>) -> super::PyResult<()> {
        super::names::add_to(module)
    }
}
