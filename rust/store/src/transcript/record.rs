//! One line of a transcript as facts, and what in it may be replaced.

/// Longest id, type or role that is looked at.
const CAPTURE_BYTES: usize = 96;
/// Replacements in one line; a line with more stays as it is.
pub(super) const EDITS: usize = 16 * 1024;

/// A short text, as it stands between its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Short {
    bytes: [u8; CAPTURE_BYTES],
    len: u8,
}

impl Short {
    pub(super) const EMPTY: Self = Self {
        bytes: [0; CAPTURE_BYTES],
        len: 0,
    };

    /// Adds a byte; false if there is no room.
    #[inline(always)]
    pub(super) fn push(&mut self, byte: u8) -> bool {
        match self.bytes.get_mut(usize::from(self.len)) {
            Some(place) => {
                *place = byte;
                self.len += 1;
                true
            }
            None => false,
        }
    }

    #[inline(always)]
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// What a record is, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Session,
    Leaf,
    Other,
}

/// Who speaks in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    User,
    Assistant,
    ToolResult,
    Other,
}

/// What is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A block that is an image.
    Image,
    /// The rest of a text, of so many characters.
    Rest(u64),
}

/// A part of a line that may be replaced: offsets in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) what: What,
}

/// How a line reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    /// Nothing but white space.
    Blank,
    /// An object, without doubt.
    Surely,
    /// Anything else.
    Not,
}

/// A line. Its facts hold only if it reads [`Reads::Surely`].
#[derive(Debug)]
pub(super) struct Record {
    /// Its first byte, and its line feed or the end of the file.
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) reads: Reads,
    pub(super) kind: Option<Kind>,
    pub(super) role: Option<Role>,
    pub(super) id: Option<Short>,
    pub(super) parent: Option<Short>,
    /// Where a record of kind `leaf` points to.
    pub(super) target: Option<Short>,
    /// In the order of the line.
    pub(super) edits: Vec<Edit>,
}

impl Record {
    pub(super) fn new() -> Self {
        Self {
            start: 0,
            end: 0,
            reads: Reads::Blank,
            kind: None,
            role: None,
            id: None,
            parent: None,
            target: None,
            edits: Vec::new(),
        }
    }

    /// Empties it for the line that starts at `start`.
    pub(super) fn clear(&mut self, start: u64) {
        self.edits.clear();
        let edits = std::mem::take(&mut self.edits);
        *self = Self {
            start,
            end: start,
            edits,
            ..Self::new()
        };
    }

    /// Says who speaks, if this is a message that reads.
    pub(super) fn speaker(&self) -> Option<Role> {
        match (self.reads, self.kind) {
            (Reads::Surely, Some(Kind::Message)) => self.role,
            _ => None,
        }
    }

    /// Leaves of the edits those that this record's role allows.
    pub(super) fn settle(&mut self) {
        match self.speaker() {
            Some(Role::ToolResult) => {}
            Some(Role::User) => self.edits.retain(|edit| edit.what == What::Image),
            _ => self.edits.clear(),
        }
    }
}
