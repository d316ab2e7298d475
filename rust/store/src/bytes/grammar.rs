//! The grammar between tokens: which may follow which.
//!
//! Twice, for there are two ways to ask. A table takes one token at a time: slower, and it knows
//! which token is wrong. [`accepts`] takes all tokens of a block at once, as bits: each class of
//! token moved on to the token that follows tells what is due there, and only strings and commas
//! need to know whether they are in an object. It says yes or no.

pub(crate) const ROOT: u8 = 0;
pub(crate) const OBJECT_FIRST: u8 = 1;
pub(crate) const OBJECT_KEY: u8 = 2;
pub(crate) const COLON: u8 = 3;
pub(crate) const OBJECT_VALUE: u8 = 4;
pub(crate) const OBJECT_NEXT: u8 = 5;
pub(crate) const ARRAY_FIRST: u8 = 6;
pub(crate) const ARRAY_VALUE: u8 = 7;
pub(crate) const ARRAY_NEXT: u8 = 8;
pub(crate) const DONE: u8 = 9;
pub(crate) const BAD: u8 = 15;

pub(crate) const T_OPEN_OBJECT: u8 = 0;
pub(crate) const T_CLOSE_OBJECT: u8 = 1;
pub(crate) const T_OPEN_ARRAY: u8 = 2;
pub(crate) const T_CLOSE_ARRAY: u8 = 3;
pub(crate) const T_COLON: u8 = 4;
pub(crate) const T_COMMA: u8 = 5;
pub(crate) const T_QUOTE: u8 = 6;
pub(crate) const T_SCALAR: u8 = 7;

const fn token(byte: u8) -> u8 {
    match byte {
        b'{' => T_OPEN_OBJECT,
        b'}' => T_CLOSE_OBJECT,
        b'[' => T_OPEN_ARRAY,
        b']' => T_CLOSE_ARRAY,
        b':' => T_COLON,
        b',' => T_COMMA,
        b'"' => T_QUOTE,
        _ => T_SCALAR,
    }
}

pub(crate) const TOKEN: [u8; 256] = {
    let mut table = [0u8; 256];
    let mut byte = 0usize;
    while byte < 256 {
        #[allow(clippy::cast_possible_truncation)] // byte < 256
        let class = token(byte as u8);
        table[byte] = class;
        byte += 1;
    }
    table
};

/// Returns the state after a token. After a closing bracket the stack decides, so any good state
/// stands there.
const fn next(state: u8, token: u8) -> u8 {
    match (state, token) {
        (ROOT | OBJECT_VALUE | ARRAY_FIRST | ARRAY_VALUE, T_OPEN_OBJECT) => OBJECT_FIRST,
        (OBJECT_VALUE | ARRAY_FIRST | ARRAY_VALUE, T_OPEN_ARRAY) => ARRAY_FIRST,
        (OBJECT_FIRST | OBJECT_NEXT, T_CLOSE_OBJECT)
        | (ARRAY_FIRST | ARRAY_NEXT, T_CLOSE_ARRAY) => DONE,
        (COLON, T_COLON) => OBJECT_VALUE,
        (OBJECT_NEXT, T_COMMA) => OBJECT_KEY,
        (ARRAY_NEXT, T_COMMA) => ARRAY_VALUE,
        (OBJECT_FIRST | OBJECT_KEY, T_QUOTE) => COLON,
        (OBJECT_VALUE, T_QUOTE | T_SCALAR) => OBJECT_NEXT,
        (ARRAY_FIRST | ARRAY_VALUE, T_QUOTE | T_SCALAR) => ARRAY_NEXT,
        _ => BAD,
    }
}

pub(crate) const NEXT: [[u8; 8]; 16] = {
    let mut table = [[BAD; 8]; 16];
    let mut state = 0usize;
    while state < 16 {
        let mut class = 0usize;
        while class < 8 {
            #[allow(clippy::cast_possible_truncation)] // both below 16
            let to = next(state as u8, class as u8);
            table[state][class] = to;
            class += 1;
        }
        state += 1;
    }
    table
};

/// What a block's first token comes after, by state: one of four masks is all ones, or none when
/// it comes after a value.
struct Due {
    open: u64,
    comma: u64,
    colon: u64,
    key: u64,
}

const DUE: [Due; 16] = {
    const NOTHING: Due = Due {
        open: 0,
        comma: 0,
        colon: 0,
        key: 0,
    };
    let mut table = [NOTHING; 16];
    table[OBJECT_FIRST as usize].open = !0;
    table[ARRAY_FIRST as usize].open = !0;
    table[OBJECT_KEY as usize].comma = !0;
    table[ARRAY_VALUE as usize].comma = !0;
    table[OBJECT_VALUE as usize].colon = !0;
    table[COLON as usize].key = !0;
    table
};

/// Tokens of one block, a bit at the first byte of each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tokens {
    /// All of them, scalars included; the others may have bits that are not among these.
    pub all: u64,
    /// Opening quotes.
    pub quote: u64,
    /// `:`
    pub colon: u64,
    /// `,`
    pub comma: u64,
    /// `{ [`
    pub open: u64,
    /// `} ]`
    pub close: u64,
}

/// Moves each bit on to the next token: the sum carries it over what lies between.
#[inline(always)]
pub(crate) fn successors(bits: u64, all: u64) -> u64 {
    (bits << 1).wrapping_add(!all) & all
}

/// Says whether every token may follow the one before it; the first follows `state`. Brackets are
/// taken to match. `in_object` has a bit for each place whose innermost bracket is curly.
///
/// Returns the state after the last token, `in_object_after` telling where that is.
#[inline(always)]
pub(crate) fn accepts(
    state: u8,
    tokens: Tokens,
    in_object: u64,
    in_object_after: bool,
) -> Option<u8> {
    let all = tokens.all;
    let (quote, colon, comma) = (tokens.quote & all, tokens.colon & all, tokens.comma & all);
    let (open, close) = (tokens.open & all, tokens.close & all);
    let first = all & all.wrapping_neg();
    let due = &DUE[usize::from(state & 15)];
    let after_open = successors(open, all) | first & due.open;
    let after_comma = successors(comma, all) | first & due.comma;
    let after_colon = successors(colon, all) | first & due.colon;
    let member_due = after_open | after_comma;
    let key = quote & member_due & in_object;
    let after_key = successors(key, all) | first & due.key;
    let value_due = after_colon | member_due & !in_object;
    let after_value = all & !(member_due | after_colon | after_key);
    let values = all & !(quote | colon | comma | close);
    let bad = (colon ^ after_key)
        | values & !value_due
        | quote & !(value_due | key)
        | comma & !after_value
        | close & !(after_value | after_open);
    if bad != 0 {
        return None;
    }
    let last = 1 << all.checked_ilog2()?;
    Some(match in_object_after {
        _ if last & key != 0 => COLON,
        _ if last & colon != 0 => OBJECT_VALUE,
        true if last & open != 0 => OBJECT_FIRST,
        true if last & comma != 0 => OBJECT_KEY,
        true => OBJECT_NEXT,
        false if last & open != 0 => ARRAY_FIRST,
        false if last & comma != 0 => ARRAY_VALUE,
        false => ARRAY_NEXT,
    })
}
