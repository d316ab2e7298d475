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
//!
//! # Rooms
//!
//! Each uses only those before it; `tests/rooms.rs` holds that.
//!
//! | room | what it is |
//! |---|---|
//! | [`input`] | files, buffers, digests, limits, errors |
//! | [`bytes`] | masks, tokens, grammar, UTF-8: from bytes to the parts of a document |
//! | [`external_sort`] | tables of any number of small records |
//! | [`entry`] | keys, and entries as facts and places |
//! | [`judge`] | what becomes of an entry; never sees a byte of a file |
//! | [`write`] | stores and archives put together from ranges and new text |
//! | [`pass`] | what reads a store from its first byte to its last |
//! | [`transcript`] | transcripts, line by line: what is old in them, cut out and put back |
//!
//! Digests are in `input`, because what is read is digested too; reading a whole input is a pass,
//! [`pass::scan`], because it feeds the lexer, which stands on `input`.

pub mod bytes;
pub mod entry;
pub mod external_sort;
pub mod input;
pub mod judge;
pub mod pass;
pub mod transcript;
pub mod write;
