//! Any number of small records, sorted by key, in constant memory.
//!
//! Records are gathered in a buffer. A full buffer is sorted and written to a scratch file as a
//! part; when [`FAN`](crate::input::limits::FAN) parts of one level are there, they are merged into one of the next. At the
//! end all are merged into one, in which a record is found by a page or two: the first half of a
//! key is a hash, so where it stands can be guessed. What fits into the buffer never meets the file.

mod record;
mod sorted;
mod sorter;
mod spill;
#[cfg(test)]
mod tests;

pub use record::{Key, Prefer, Record};
pub use sorted::{Records, Sorted};
pub use sorter::Sorter;
pub use spill::{Scratch, Spill};
