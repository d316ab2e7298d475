//! Decides what becomes of an entry. Pure functions of values: nothing here knows of a file's bytes.

pub mod census;
pub mod evidence;
pub mod job_table;
pub mod policy;
pub mod rows;
pub mod run_ends;
pub mod tally;
pub mod verdict;

pub use verdict::judge;
