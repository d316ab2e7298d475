//! Session keys: what they compare as, and what they say.

use std::hash::Hasher;
use twox_hash::XxHash3_64;

/// Streams the inside of a JSON string and hands out what it means.
///
/// Lone surrogates come out as the three bytes that WTF-8 gives them, so that two keys compare
/// equal exactly when JavaScript's strings do.
#[derive(Debug, Default, Clone)]
pub struct Unescape {
    state: Escape,
    high: Option<u16>,
}

#[derive(Debug, Default, Clone, Copy)]
enum Escape {
    #[default]
    No,
    Backslash,
    Hex {
        value: u16,
        digits: u8,
    },
}

impl Unescape {
    /// Feeds raw bytes (already validated, without the quotes).
    pub fn feed(&mut self, raw: &[u8], mut out: impl FnMut(&[u8])) {
        let mut rest = raw;
        while !rest.is_empty() {
            if let Escape::No = self.state {
                let plain = rest.iter().position(|&b| b == b'\\').unwrap_or(rest.len());
                if plain > 0 {
                    self.flush(&mut out);
                    out(&rest[..plain]);
                }
                rest = &rest[plain..];
                if let [_, tail @ ..] = rest {
                    self.state = Escape::Backslash;
                    rest = tail;
                }
                continue;
            }
            let byte = rest[0];
            rest = &rest[1..];
            match self.state {
                Escape::No => {}
                Escape::Backslash if byte == b'u' => {
                    self.state = Escape::Hex {
                        value: 0,
                        digits: 0,
                    };
                }
                Escape::Backslash => {
                    self.state = Escape::No;
                    self.flush(&mut out);
                    out(&[match byte {
                        b'b' => 8,
                        b'f' => 12,
                        b'n' => 10,
                        b'r' => 13,
                        b't' => 9,
                        other => other,
                    }]);
                }
                Escape::Hex { value, digits } => {
                    let digit = char::from(byte).to_digit(16).unwrap_or(0);
                    #[allow(clippy::cast_possible_truncation)] // below 16
                    let value = value << 4 | digit as u16;
                    if digits < 3 {
                        self.state = Escape::Hex {
                            value,
                            digits: digits + 1,
                        };
                    } else {
                        self.state = Escape::No;
                        self.unit(value, &mut out);
                    }
                }
            }
        }
    }

    /// Hands out what a lone high surrogate at the end left behind.
    pub fn finish(&mut self, mut out: impl FnMut(&[u8])) {
        self.flush(&mut out);
    }

    fn unit(&mut self, unit: u16, out: &mut impl FnMut(&[u8])) {
        match (self.high, unit) {
            (Some(high), 0xDC00..=0xDFFF) => {
                self.high = None;
                let code = 0x10000 + (u32::from(high - 0xD800) << 10) + u32::from(unit - 0xDC00);
                let mut buffer = [0u8; 4];
                out(char::from_u32(code)
                    .unwrap_or('\u{FFFD}')
                    .encode_utf8(&mut buffer)
                    .as_bytes());
            }
            (_, 0xD800..=0xDBFF) => {
                self.flush(out);
                self.high = Some(unit);
            }
            _ => {
                self.flush(out);
                wtf8(unit, out);
            }
        }
    }

    fn flush(&mut self, out: &mut impl FnMut(&[u8])) {
        if let Some(high) = self.high.take() {
            wtf8(high, out);
        }
    }
}

fn wtf8(unit: u16, out: &mut impl FnMut(&[u8])) {
    let mut buffer = [0u8; 4];
    match char::from_u32(u32::from(unit)) {
        Some(c) => out(c.encode_utf8(&mut buffer).as_bytes()),
        #[allow(clippy::cast_possible_truncation)] // each below 256
        None => out(&[
            0xE0 | (unit >> 12) as u8,
            0x80 | (unit >> 6 & 0x3F) as u8,
            0x80 | (unit & 0x3F) as u8,
        ]),
    }
}

/// Returns what the inside of a JSON string means.
#[must_use]
pub fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(raw.len());
    let mut state = Unescape::default();
    state.feed(raw, |bytes| text.extend_from_slice(bytes));
    state.finish(|bytes| text.extend_from_slice(bytes));
    text
}

/// Fingerprints a key as it streams by, however long.
pub struct Fingerprint {
    seed: u64,
    hash: XxHash3_64,
    unescape: Unescape,
}

impl Fingerprint {
    /// Starts one; equal keys of equal `seed` give equal numbers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            hash: XxHash3_64::with_seed(seed),
            unescape: Unescape::default(),
        }
    }

    /// Feeds raw bytes of the key, without its quotes.
    pub fn feed(&mut self, raw: &[u8]) {
        let hash = &mut self.hash;
        self.unescape.feed(raw, |bytes| hash.write(bytes));
    }

    /// Returns the number of a whole key.
    pub(crate) fn of(&mut self, raw: &[u8]) -> u64 {
        if !has_escape(raw) {
            return fingerprint(self.seed, raw);
        }
        self.feed(raw);
        self.take()
    }

    /// Returns the number and starts over.
    pub fn take(&mut self) -> u64 {
        let hash = &mut self.hash;
        self.unescape.finish(|bytes| hash.write(bytes));
        let value = self.hash.finish();
        *self = Self::new(self.seed);
        value
    }
}

/// Returns the fingerprint of text that needs no unescaping.
#[must_use]
pub fn fingerprint(seed: u64, text: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(seed, text)
}

/// Says whether the inside of a JSON string has a backslash: eight bytes at a time, and the last
/// eight once more, for most are short.
#[must_use]
#[inline]
pub(crate) fn has_escape(inside: &[u8]) -> bool {
    const LOWEST: u64 = u64::from_ne_bytes([1; 8]);
    const BACKSLASH: u64 = 0x5C;
    // Zero where a byte is a backslash, and then its highest bit becomes one; a borrow shows only
    // above such a byte.
    let found = |word: &[u8; 8]| {
        let word = u64::from_ne_bytes(*word) ^ (LOWEST * BACKSLASH);
        word.wrapping_sub(LOWEST) & !word & (LOWEST << 7)
    };
    let Some(last) = inside.last_chunk() else {
        return inside.contains(&b'\\');
    };
    let words = inside.as_chunks().0.iter();
    words.fold(found(last), |any, word| any | found(word)) != 0
}

/// What a session key is for.
///
/// Source: the gateway's `parseAgentSessionKey` and its recognisers. Ours are stricter: exact
/// lower case and no empty parts. What does not fit is [`KeyKind::Other`], and stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// `agent:<a>:cron:<job>:run:<session>`, the only kind that rules may remove.
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

    #[test]
    fn escapes_mean_what_javascript_says_at_every_split() {
        let cases: [(&str, &[u8]); 6] = [
            (r"plain", b"plain"),
            (r"\u0061\n\/\\", b"a\n/\\"),
            (r"\ud83d\ude00!", "😀!".as_bytes()),
            (r"\ud83dx", b"\xED\xA0\xBDx"),
            (r"\ud83d\ud83d\ude00", "\u{FFFD}😀".as_bytes()),
            (r"\udc00", b"\xED\xB0\x80"),
        ];
        for (raw, expected) in cases {
            let expected = if raw.starts_with(r"\ud83d\ud83d") {
                [b"\xED\xA0\xBD".as_slice(), "😀".as_bytes()].concat()
            } else {
                expected.to_vec()
            };
            for cut in 0..=raw.len() {
                let mut state = Unescape::default();
                let mut text = Vec::new();
                state.feed(&raw.as_bytes()[..cut], |bytes| {
                    text.extend_from_slice(bytes);
                });
                state.feed(&raw.as_bytes()[cut..], |bytes| {
                    text.extend_from_slice(bytes);
                });
                state.finish(|bytes| text.extend_from_slice(bytes));
                assert_eq!(text, expected, "{raw} cut at {cut}");
            }
        }
    }
}
