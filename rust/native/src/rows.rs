//! Rows of a database, judged in batches.

use crate::{json, raise, Evidence, Policy};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::sync::{Mutex, PoisonError};
use tailflip_store::input::error::Error;
use tailflip_store::input::limits::ROWS;
use tailflip_store::judge::rows::{self, Row, RowCensus};
use tailflip_store::judge::verdict::Verdict;

/// Key, session, updated, started, ended, status, override, odd, bytes of the fields that the
/// gateway rebuilds, bytes in all.
type Columns = (
    String,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<String>,
    bool,
    bool,
    u64,
    u64,
);

/// What is done, by which rule, and the end to set.
type Told = Option<(&'static str, &'static str, Option<(&'static str, i64, i64)>)>;

fn row(columns: &Columns) -> Row<'_> {
    let (key, session, updated, started, ended, status, has_override, is_odd, bulk, bytes) =
        columns;
    Row {
        key,
        session_id: session.as_deref().unwrap_or_default(),
        updated_ms: *updated,
        started_ms: *started,
        ended_ms: *ended,
        status: status.as_deref(),
        has_override: *has_override,
        is_odd: *is_odd,
        bulk_bytes: *bulk,
        bytes: *bytes,
    }
}

fn take(rows: &Bound<'_, PyList>) -> PyResult<Vec<Columns>> {
    if rows.len() > ROWS {
        return Err(PyValueError::new_err(format!(
            "a batch must have at most {ROWS} rows"
        )));
    }
    rows.extract()
}

fn tell(verdict: Verdict) -> Told {
    let rule = verdict.name()?;
    match verdict {
        Verdict::Keep => None,
        Verdict::Drop(_) => Some(("drop", rule, None)),
        Verdict::Edit { retire, .. } => {
            let end = retire.map(|end| (end.status.name(), end.ended_at_ms, end.runtime_ms));
            Some(("edit", rule, end))
        }
    }
}

enum Pass {
    First(RowCensus),
    Second(rows::RowJudge),
    /// An error ended a pass in the middle of a batch.
    Failed,
}

#[pyclass(frozen, module = "tailflip._native")]
pub struct RowJudge {
    evidence: Py<Evidence>,
    pass: Mutex<Pass>,
}

impl RowJudge {
    /// Works on the pass, which has failed unless the work gives it back.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(Pass, &tailflip_store::judge::evidence::Evidence) -> Result<(Pass, T), Error>
            + Send,
    ) -> PyResult<T> {
        let evidence = self.evidence.get();
        py.detach(|| {
            let mut pass = self.pass.lock().unwrap_or_else(PoisonError::into_inner);
            let now = std::mem::replace(&mut *pass, Pass::Failed);
            let (next, done) = evidence.with(|evidence| work(now, evidence))?;
            *pass = next;
            Ok(done)
        })
        .map_err(raise)
    }
}

#[pymethods]
impl RowJudge {
    #[new]
    fn new(policy: &Policy, evidence: Py<Evidence>) -> Self {
        Self {
            evidence,
            pass: Mutex::new(Pass::First(RowCensus::new(policy.0.clone()))),
        }
    }

    fn offer(&self, py: Python<'_>, rows: &Bound<'_, PyList>) -> PyResult<()> {
        let rows = take(rows)?;
        let is_first = self.with(py, |pass, evidence| match pass {
            Pass::First(mut census) => {
                for columns in &rows {
                    census.offer(evidence, &row(columns))?;
                }
                Ok((Pass::First(census), true))
            }
            other => Ok((other, false)),
        })?;
        if !is_first {
            return Err(PyValueError::new_err("rows were judged already"));
        }
        Ok(())
    }

    fn judge(&self, py: Python<'_>, rows: &Bound<'_, PyList>) -> PyResult<Vec<Told>> {
        let rows = take(rows)?;
        let told = self.with(py, |pass, evidence| {
            let mut judge = match pass {
                Pass::First(census) => census.seal(),
                Pass::Second(judge) => judge,
                Pass::Failed => return Ok((Pass::Failed, None)),
            };
            let mut told = Vec::with_capacity(rows.len());
            for columns in &rows {
                told.push(tell(judge.judge(evidence, &row(columns))?));
            }
            Ok((Pass::Second(judge), Some(told)))
        })?;
        told.ok_or_else(failed)
    }

    fn finish(&self, py: Python<'_>) -> PyResult<String> {
        let numbers = self.with(py, |pass, _| {
            let judge = match pass {
                Pass::First(census) => census.seal(),
                Pass::Second(judge) => judge,
                Pass::Failed => return Ok((Pass::Failed, None)),
            };
            let numbers = judge.finish()?;
            Ok((Pass::Second(judge), Some(numbers)))
        })?;
        json(&numbers.ok_or_else(failed)?)
    }
}

fn failed() -> PyErr {
    PyValueError::new_err("a pass over the rows has failed")
}
