//! Entries: where each lies, and what its key and its top-level fields say.

pub mod key;

mod assemble;

pub use assemble::{Entries, Entry, EntryVisitor, Key, Member, Span, Status};
