//! Transcripts: one JSON record a line, of which old images and old long tool results may leave.
//!
//! A transcript is an append-only list of records. Its first line is a header; every other line
//! that reads is a record with an `id` and a `parentId`. Lines end at a line feed, and nowhere else.
//!
//! # What is promised
//!
//! * **Memory** is O(1) in the number of lines and in the length of any line.
//! * **A line that is not read with certainty stays as it is**: what is not JSON or not UTF-8, what
//!   has a field twice or an escaped name where it matters, what is nested too deep.
//! * **Preservation**: all bytes outside the replaced blocks and texts are the same bytes in the
//!   same order, line ends and damaged lines included.
//!
//! | file | what it is |
//! |---|---|
//! | `record` | one line as facts, and what in it may be replaced |
//! | `parser` | the automaton that reads a line, at any split of the input |
//! | [`border`] | where the last three completed turns begin |
//! | [`slim`] | writes the slimmed transcript, and the archive of what it was |
//! | [`unslim`] | puts both together again |

pub mod border;
pub mod slim;
pub mod unslim;

mod parser;
mod record;

pub use border::Border;
pub use slim::slim;
pub use unslim::unslim;

/// What the gateway shows its model instead of an old image.
pub const IMAGE_MARKER: &str = "[image data removed - already processed by model]";
/// A block of an old message, in place of its image.
pub(crate) const IMAGE_BLOCK: &str =
    r#"{"type":"text","text":"[image data removed - already processed by model]"}"#;
/// A longer text of an old tool result is cut, in bytes of UTF-8.
pub const LONG_TEXT_BYTES: u64 = 16 * 1024;
/// What stays of it.
pub const HEAD_BYTES: u64 = 2 * 1024;
/// Completed turns that are never touched: as many as the gateway leaves its model all images of.
pub const RECENT_TURNS: u64 = 3;
