//! What can go wrong, told as a kind and a byte offset.

use std::fmt;

/// What is wrong with the bytes of a store or an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// No bytes, or nothing but white space.
    Empty,
    /// Starts with a UTF-8 byte order mark, which `JSON.parse` refuses.
    Bom,
    /// Starts with a UTF-16 or UTF-32 byte order mark.
    Utf16,
    /// Bytes that are not UTF-8.
    Utf8,
    /// The input ends inside the document.
    Truncated,
    /// A token that may not stand here.
    Syntax,
    /// A control character inside a string.
    Control,
    /// A bad escape inside a string.
    Escape,
    /// A number or literal that is none.
    Scalar,
    /// Nested deeper than [`crate::input::limits::MAX_DEPTH`].
    Depth,
    /// Something after the end of the document.
    Trailing,
    /// A JSON document, but not an object.
    Root,
    /// Not the bytes that were surveyed.
    Changed,
    /// An archive that is damaged or not ours.
    Archive,
}

impl ErrorKind {
    /// All kinds, in order; each needs a sentence in Python.
    pub const ALL: [Self; 14] = [
        Self::Empty,
        Self::Bom,
        Self::Utf16,
        Self::Utf8,
        Self::Truncated,
        Self::Syntax,
        Self::Control,
        Self::Escape,
        Self::Scalar,
        Self::Depth,
        Self::Trailing,
        Self::Root,
        Self::Changed,
        Self::Archive,
    ];

    /// Returns the stable name that crosses the border to Python.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Bom => "bom",
            Self::Utf16 => "utf16",
            Self::Utf8 => "utf8",
            Self::Truncated => "truncated",
            Self::Syntax => "syntax",
            Self::Control => "control",
            Self::Escape => "escape",
            Self::Scalar => "scalar",
            Self::Depth => "depth",
            Self::Trailing => "trailing",
            Self::Root => "root",
            Self::Changed => "changed",
            Self::Archive => "archive",
        }
    }
}

/// Why a pass stopped.
#[derive(Debug)]
pub enum Error {
    /// The input is not what it must be, found at this byte.
    Invalid {
        /// What is wrong.
        kind: ErrorKind,
        /// First byte that cannot belong to a valid input.
        offset: u64,
    },
    /// A read or write failed.
    Io(std::io::Error),
    /// The caller asked to stop.
    Cancelled,
}

impl Error {
    /// Makes an `Invalid`.
    #[must_use]
    pub fn invalid(kind: ErrorKind, offset: u64) -> Self {
        Self::Invalid { kind, offset }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { kind, offset } => write!(f, "{} at byte {offset}", kind.name()),
            Self::Io(error) => error.fmt(f),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// Result of a pass.
pub type Result<T> = std::result::Result<T, Error>;
