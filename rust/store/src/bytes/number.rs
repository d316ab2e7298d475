//! The automaton of numbers and of `true`, `false`, `null`; its state survives a buffer's end.

/// State before the first byte.
pub const START: u8 = 0;
/// State from which nothing leads out.
pub const DEAD: u8 = 20;

const MINUS: u8 = 1;
/// State after a single 0.
pub const ZERO: u8 = 2;
/// State after digits that do not begin with 0.
pub const INT: u8 = 3;
const DOT: u8 = 4;
const FRACTION: u8 = 5;
const EXPONENT: u8 = 6;
const SIGN: u8 = 7;
const POWER: u8 = 8;
const LITERAL: u8 = 12;

const fn next(state: u8, byte: u8) -> u8 {
    match (state, byte) {
        (START, b'-') => MINUS,
        (START | MINUS, b'0') => ZERO,
        (START | MINUS, b'1'..=b'9') | (INT, b'0'..=b'9') => INT,
        (ZERO | INT, b'.') => DOT,
        (DOT | FRACTION, b'0'..=b'9') => FRACTION,
        (ZERO | INT | FRACTION, b'e' | b'E') => EXPONENT,
        (EXPONENT, b'+' | b'-') => SIGN,
        (EXPONENT | SIGN | POWER, b'0'..=b'9') => POWER,
        (START, b't') => 9,
        (9, b'r') => 10,
        (10, b'u') => 11,
        (11 | 16, b'e') | (19, b'l') => LITERAL,
        (START, b'f') => 13,
        (13, b'a') => 14,
        (14, b'l') => 15,
        (15, b's') => 16,
        (START, b'n') => 17,
        (17, b'u') => 18,
        (18, b'l') => 19,
        _ => DEAD,
    }
}

const TABLE: [[u8; 256]; 21] = {
    let mut table = [[DEAD; 256]; 21];
    let mut state = 0usize;
    while state < 21 {
        let mut byte = 0usize;
        while byte < 256 {
            #[allow(clippy::cast_possible_truncation)] // both below 256
            let to = next(state as u8, byte as u8);
            table[state][byte] = to;
            byte += 1;
        }
        state += 1;
    }
    table
};

/// Feeds bytes; on a dead end returns how many were fine.
#[inline]
pub fn advance(state: &mut u8, bytes: &[u8]) -> Result<(), usize> {
    if *state == START && matches!(bytes, b"true" | b"false" | b"null") {
        *state = LITERAL;
        return Ok(());
    }
    for (at, &byte) in bytes.iter().enumerate() {
        *state = TABLE[usize::from(*state)][usize::from(byte)];
        if *state == DEAD {
            return Err(at);
        }
    }
    Ok(())
}

/// Says whether what was fed is a whole number or literal.
#[inline]
pub fn is_complete(state: u8) -> bool {
    matches!(state, ZERO | INT | FRACTION | POWER | LITERAL)
}
