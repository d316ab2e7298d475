//! What the inside of a JSON string means, as JavaScript reads it.

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

    /// Writes what a lone high surrogate at the end left behind.
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

#[cfg(test)]
mod tests {
    use super::*;

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
