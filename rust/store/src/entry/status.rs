//! `status`, the field that says how a run stands.

/// `status` as the gateway writes it. It is not evidence by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Status {
    /// No such field.
    #[default]
    Absent,
    /// `"running"`
    Running,
    /// `"done"`
    Done,
    /// `"failed"`
    Failed,
    /// `"killed"`
    Killed,
    /// `"timeout"`
    Timeout,
    /// Anything else.
    Other,
}

impl Status {
    /// All values, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Absent,
        Self::Running,
        Self::Done,
        Self::Failed,
        Self::Killed,
        Self::Timeout,
        Self::Other,
    ];

    /// Returns the value's text; `-` for none.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Absent => "-",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Killed => "killed",
            Self::Timeout => "timeout",
            Self::Other => "other",
        }
    }

    /// Reads the text of the field.
    #[must_use]
    pub fn from_text(text: &[u8]) -> Self {
        Self::ALL
            .into_iter()
            .skip(1)
            .find(|status| *status != Self::Other && status.name().as_bytes() == text)
            .unwrap_or(Self::Other)
    }
}
