//! Entries of one line: a name, and a value that is complete.

/// Says whether a backslash makes the quote at `at` a part of its string.
pub(super) fn is_escaped(text: &[u8], at: usize) -> bool {
    let before = text[..at].iter().rev();
    before.take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// Says whether a text begins with a name and a value that is complete: a scalar, or nothing in
/// brackets.
pub(super) fn is_single(text: &[u8]) -> bool {
    let Some(rest) = after_string(text) else {
        return false;
    };
    let Some(rest) = rest.trim_ascii_start().strip_prefix(b":") else {
        return false;
    };
    let value = rest.trim_ascii_start();
    match value.first() {
        Some(b'"') => after_string(value).is_some(),
        Some(open @ (b'{' | b'[')) => value[1..].trim_ascii_start().first() == Some(&(open + 2)),
        // Whatever follows may be a damaged comma.
        Some(b'-' | b'0'..=b'9') => true,
        _ => [&b"true"[..], b"false", b"null"]
            .iter()
            .any(|word| value.starts_with(word)),
    }
}

/// Returns what follows the string that a text begins with, if there is one.
fn after_string(text: &[u8]) -> Option<&[u8]> {
    let inside = text.get(1..)?;
    let len = (0..inside.len()).find(|at| inside[*at] == b'"' && !is_escaped(inside, *at))?;
    let (string, rest) = text.split_at(len + 2);
    is_json(string).then_some(rest)
}

fn is_json(text: &[u8]) -> bool {
    std::str::from_utf8(text)
        .is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok())
}
