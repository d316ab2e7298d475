//! Decides what becomes of an entry. Pure functions of values: nothing here knows of a file's bytes.

pub mod evidence;
pub mod job_table;
pub mod policy;
pub mod run_ends;
