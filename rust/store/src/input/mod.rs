//! What every other room stands on: files, buffers, digests, limits and errors.

pub mod error;
pub mod io;
pub mod limits;

pub(crate) mod buffer_pool;
pub(crate) mod digest;
