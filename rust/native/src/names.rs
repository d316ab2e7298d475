//! Names and limits, of which Python keeps no copy.

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use tailflip_store::entry::key::KeyKind;
use tailflip_store::entry::{Status, OVERRIDES};
use tailflip_store::input::error::ErrorKind;
use tailflip_store::input::limits;
use tailflip_store::judge::policy::Rule;

pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let add = |name: &str, names: &mut dyn ExactSizeIterator<Item = &'static str>| {
        module.add(name, PyTuple::new(module.py(), names)?)
    };
    add(
        "ERROR_KINDS",
        &mut ErrorKind::ALL.iter().map(|kind| kind.name()),
    )?;
    add("RULES", &mut Rule::ALL.iter().map(|rule| rule.name()))?;
    add(
        "KEY_KINDS",
        &mut KeyKind::ALL.iter().map(|kind| kind.name()),
    )?;
    add(
        "DROP_KINDS",
        &mut KeyKind::DROPPABLE.iter().map(|(name, _)| *name),
    )?;
    add(
        "STATUSES",
        &mut Status::ALL.iter().map(|status| status.name()),
    )?;
    add("OVERRIDES", &mut OVERRIDES.iter().copied())?;
    module.add("MAX_CAP_PER_JOB", limits::CAP_PER_JOB)?;
    module.add("MAX_CAP_TOTAL", limits::CAP_TOTAL)?;
    module.add("MAX_DEPTH", limits::MAX_DEPTH)?;
    module.add("MAX_JOBS", limits::JOBS)?;
    module.add("MAX_KEY_BYTES", limits::KEY_BYTES)?;
    module.add("MAX_MENTIONS", limits::MENTIONS)?;
    module.add("MAX_MENTION_BYTES", limits::MENTION_BYTES)?;
    module.add("MIN_MENTION_BYTES", limits::MENTION_WINDOW)?;
    module.add("MAX_NAMED", limits::NAMED)?;
    module.add("MAX_ROWS", limits::ROWS)
}
