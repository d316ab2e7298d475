//! Puts new files together: stores and archives.

pub mod archive;

pub(crate) mod edits;
pub(crate) mod output;
pub(crate) mod readback;
pub(crate) mod splice;
