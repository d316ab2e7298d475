//! The passes over a store, each of which reads it from its first byte to its last.

pub mod compare;
pub mod ledger_join;
pub mod list_entries;
pub mod mentions;
pub mod restore;
pub mod rewrite;
pub mod run_starts;
pub mod salvage;
pub mod scan;
pub mod survey;
pub mod verify;

pub(crate) mod duplicates;

pub use compare::compare;
pub use list_entries::list_entries;
pub use restore::restore;
pub use rewrite::rewrite;
pub use salvage::salvage;
pub use survey::survey;
pub use verify::verify;
