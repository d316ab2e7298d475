//! Which top-level fields of an entry are looked at.

/// The fields that are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Known {
    SessionId,
    SessionFile,
    UpdatedAt,
    StartedAt,
    EndedAt,
    RuntimeMs,
    Status,
    Skills,
    Report,
}

impl Known {
    const NAMES: [(&'static [u8], Self); 9] = [
        (b"updatedAt", Self::UpdatedAt), // first: every entry has it
        (b"sessionId", Self::SessionId),
        (b"sessionFile", Self::SessionFile),
        (b"startedAt", Self::StartedAt),
        (b"endedAt", Self::EndedAt),
        (b"runtimeMs", Self::RuntimeMs),
        (b"status", Self::Status),
        (b"skillsSnapshot", Self::Skills),
        (b"systemPromptReport", Self::Report),
    ];

    /// Returns the field's bit among those of the fields that an entry has.
    pub(super) const fn bit(self) -> u16 {
        1 << self as u16
    }

    #[inline(always)] // unrolled: each comparison is one of words, not of bytes
    pub(super) fn from_name(name: &[u8]) -> Option<Self> {
        let is_it = |(known, _): &&(&[u8], Self)| *known == name;
        Self::NAMES.iter().find(is_it).map(|(_, known)| *known)
    }
}

/// Fields that a person may have set on a session. A run that has one is neither capped nor
/// slimmed. It expires like others, as it does for the gateway's own reaper: the gateway makes a
/// run's entry a copy of its job's, overrides included, and that one is never removed by a rule.
///
/// Source: `SessionEntry` in the gateway's `src/config/sessions/types.ts`; the copy is made by
/// `resolveCronSession`.
pub const OVERRIDES: [&str; 20] = [
    "providerOverride",
    "modelOverride",
    "authProfileOverride",
    "thinkingLevel",
    "fastMode",
    "verboseLevel",
    "reasoningLevel",
    "elevatedLevel",
    "traceLevel",
    "ttsAuto",
    "execHost",
    "execSecurity",
    "execAsk",
    "execNode",
    "responseUsage",
    "sendPolicy",
    "groupActivation",
    "queueMode",
    "queueCap",
    "queueDrop",
];
