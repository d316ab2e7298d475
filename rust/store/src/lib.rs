//! Reads and rewrites `OpenClaw` session stores: one JSON object, key → entry, of any size.
//!
//! # What is promised
//!
//! * **Memory** is O(1) in the size and the shape of the input: at most 2 MiB to read, 256 KiB
//!   to write, fixed tables of about 6 MiB ([`limits`]), one bit a nesting level up to the depth
//!   limit. No entry, key list or index is held: what has to be known of any number of entries is
//!   [`sorted`] in a scratch file.
//! * **Validation** is complete: RFC 8259 grammar, strict UTF-8, depth. Accepted is what
//!   Node's `JSON.parse` accepts and is valid UTF-8 and an object; lone surrogate escapes
//!   included, because Node writes them.
//! * **Preservation**: a kept entry is the same bytes in the same order; an edited one
//!   differs in exactly the fields that were cut or set.
//!
//! Nothing here opens, renames or deletes a file, or reads a clock.

pub mod archive;
pub mod ends;
pub mod entry;
pub mod error;
pub mod evidence;
pub mod io;
pub mod key;
pub mod ledgers;
pub mod lex;
pub mod limits;
pub mod list;
pub mod policy;
pub mod restore;
pub mod rewrite;
pub mod salvage;
pub mod simd;
pub mod sorted;
pub mod starts;
pub mod survey;
pub mod table;
pub mod verify;

mod cut;
mod digest;
mod grammar;
mod layout;
mod lend;
mod number;
mod readback;
mod splice;
mod twins;
mod utf8;
