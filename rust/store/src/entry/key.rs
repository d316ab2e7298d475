//! Session keys: what they say.

use crate::entry::fingerprint::fingerprint;
use crate::input::limits::KEY_BYTES;

/// The key of an entry.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    /// What it says, unescaped; empty when it is odd.
    pub text: &'a str,
    /// It is longer than is captured, or not Unicode.
    pub is_odd: bool,
    /// Fingerprint of what it says.
    pub fingerprint: u64,
    /// What it says, taken apart.
    pub parsed: Parsed<'a>,
}

impl<'a> Key<'a> {
    /// Takes a key that is out of its file already, such as a row's.
    #[must_use]
    pub fn of_text(seed: u64, text: &'a str) -> Self {
        let captured = Some(text).filter(|text| text.len() <= KEY_BYTES);
        Self::new(captured, fingerprint(seed, text.as_bytes()))
    }

    /// Takes a key apart; one without text is odd.
    pub(super) fn new(text: Option<&'a str>, fingerprint: u64) -> Self {
        let is_odd = text.is_none();
        let text = text.unwrap_or_default();
        Self {
            text,
            is_odd,
            fingerprint,
            parsed: parse(text),
        }
    }
}

/// What a session key is for.
///
/// Source: the gateway's `parseAgentSessionKey` and its recognisers. Ours are stricter: exact
/// lower case and no empty parts. What does not fit is [`KeyKind::Other`], and stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// `agent:<a>:cron:<job>:run:<session>`, the kind that the rules of age, flight and caps remove.
    CronRun,
    /// `agent:<a>:cron:<job>`
    CronBase,
    /// `agent:<a>:main`, `global`
    Main,
    /// …`:direct:<peer>`
    Direct,
    /// …`:group:<id>`
    Group,
    /// …`:channel:<id>`
    Channel,
    /// …`:thread:<id>` or `:topic:<id>`
    Thread,
    /// `agent:<a>:subagent:…`
    Subagent,
    /// `agent:<a>:acp:…`
    Acp,
    /// `agent:<a>:hook:…`
    Hook,
    /// `agent:<a>:dashboard:…`
    Dashboard,
    /// `agent:<a>:dreaming-narrative-<phase>-<workspace hash>-<ms>`
    Dream,
    /// Any other shape.
    Other,
}

impl KeyKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 13] = [
        Self::CronRun,
        Self::CronBase,
        Self::Main,
        Self::Direct,
        Self::Group,
        Self::Channel,
        Self::Thread,
        Self::Subagent,
        Self::Acp,
        Self::Hook,
        Self::Dashboard,
        Self::Dream,
        Self::Other,
    ];

    /// Kinds that no rule removes by itself, and that a person may name as a whole: by this name.
    pub const DROPPABLE: [(&'static str, Self); 2] =
        [("subagent", Self::Subagent), ("dream", Self::Dream)];

    /// Finds a kind that a person may name.
    #[must_use]
    pub fn droppable(name: &str) -> Option<Self> {
        let mut all = Self::DROPPABLE.into_iter();
        all.find(|(known, _)| *known == name).map(|(_, kind)| kind)
    }

    /// Returns the name shown to people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CronRun => "cron run",
            Self::CronBase => "cron base",
            Self::Main => "main",
            Self::Direct => "direct",
            Self::Group => "group",
            Self::Channel => "channel",
            Self::Thread => "thread",
            Self::Subagent => "sub-agent",
            Self::Acp => "acp",
            Self::Hook => "hook",
            Self::Dashboard => "dashboard",
            Self::Dream => "dream narrative",
            Self::Other => "other",
        }
    }
}

/// A key taken apart. `agent` and `job` are empty where the kind has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed<'a> {
    /// What it is for.
    pub kind: KeyKind,
    /// Agent id.
    pub agent: &'a str,
    /// Cron job id.
    pub job: &'a str,
    /// Session id of a cron run.
    pub run: &'a str,
}

/// Takes an unescaped key apart.
#[must_use]
pub fn parse(key: &str) -> Parsed<'_> {
    let other = |kind| Parsed {
        kind,
        agent: "",
        job: "",
        run: "",
    };
    if key == "global" {
        return other(KeyKind::Main);
    }
    let mut parts = key.split(':');
    let (Some("agent"), Some(agent), Some(third)) = (parts.next(), parts.next(), parts.next())
    else {
        return other(KeyKind::Other);
    };
    if agent.is_empty() || key.split(':').any(str::is_empty) {
        return other(KeyKind::Other);
    }
    let of = |kind| Parsed {
        kind,
        agent,
        job: "",
        run: "",
    };
    match third {
        "cron" => match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(job), None, ..) => Parsed {
                kind: KeyKind::CronBase,
                agent,
                job,
                run: "",
            },
            (Some(job), Some("run"), Some(run), None) => Parsed {
                kind: KeyKind::CronRun,
                agent,
                job,
                run,
            },
            _ => of(KeyKind::Other),
        },
        "main" if parts.next().is_none() => of(KeyKind::Main),
        "subagent" => of(KeyKind::Subagent),
        "acp" => of(KeyKind::Acp),
        "hook" => of(KeyKind::Hook),
        "dashboard" => of(KeyKind::Dashboard),
        _ if is_dream(third) && parts.next().is_none() => of(KeyKind::Dream),
        _ => {
            let has = |name: &str| key.split(':').skip(2).any(|part| part == name);
            of(if has("thread") || has("topic") {
                KeyKind::Thread
            } else if has("direct") {
                KeyKind::Direct
            } else if has("group") {
                KeyKind::Group
            } else if has("channel") {
                KeyKind::Channel
            } else {
                KeyKind::Other
            })
        }
    }
}

/// Says whether the third part of a key names one night's dream.
///
/// Source: memory-core's `dreaming-narrative-${phase}-${workspaceHash}-${nowMs}`, one key for each
/// phase of each night, deleted by its own sweep only if the gateway lives to see its end.
fn is_dream(part: &str) -> bool {
    let Some(rest) = part.strip_prefix("dreaming-narrative-") else {
        return false;
    };
    let mut names = rest.split('-');
    let is = |name: Option<&str>, test: fn(&u8) -> bool| {
        name.is_some_and(|name| !name.is_empty() && name.as_bytes().iter().all(test))
    };
    is(names.next(), u8::is_ascii_lowercase)
        && is(names.next(), u8::is_ascii_hexdigit)
        && is(names.next(), u8::is_ascii_digit)
        && names.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_shape_is_a_dream() {
        let kind = |key| parse(key).kind;
        assert_eq!(
            kind("agent:a:dreaming-narrative-light-0123456789ab-1732800000000"),
            KeyKind::Dream
        );
        for key in [
            "agent:a:dreaming-narrative-light-0123456789ab-1732800000000:more",
            "agent:a:dreaming-narrative-light-0123456789ab-",
            "agent:a:dreaming-narrative-light-0123456789ab",
            "agent:a:dreaming-narrative-light-0123456789ab-1-2",
            "agent:a:dreaming-narrative-Light-0123456789ab-1",
            "agent:a:dreaming-narrative-light-wxyz-1",
            "agent:a:my-dreaming-narrative-light-0123456789ab-1",
            "dreaming-narrative-light-0123456789ab-1",
        ] {
            assert_eq!(kind(key), KeyKind::Other, "{key}");
        }
    }

    #[test]
    fn only_the_exact_shape_is_a_cron_run() {
        let kind = |key| parse(key).kind;
        assert_eq!(
            parse("agent:a:cron:j:run:s"),
            Parsed {
                kind: KeyKind::CronRun,
                agent: "a",
                job: "j",
                run: "s"
            }
        );
        assert_eq!(kind("agent:a:cron:j"), KeyKind::CronBase);
        for key in [
            "agent:a:cron:j:run:s:more",
            "agent:a:cron:j:run",
            "agent:a:cron:j:run:",
            "agent:a:cron::run:s",
            "agent::cron:j:run:s",
            "Agent:a:cron:j:run:s",
            "cron:j:run:s",
            "agent:a:session:cron:j:run:s",
            "agent:a:custom:run:s",
        ] {
            assert_ne!(kind(key), KeyKind::CronRun, "{key}");
        }
        assert_eq!(kind("agent:a:telegram:group:-1:topic:2"), KeyKind::Thread);
        assert_eq!(kind("agent:a:telegram:direct:9"), KeyKind::Direct);
        assert_eq!(kind("agent:a:main"), KeyKind::Main);
        assert_eq!(kind("voice:123"), KeyKind::Other);
    }
}
