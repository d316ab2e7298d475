//! From bytes to the parts of a document: masks, tokens, grammar, UTF-8.

pub mod lex;
pub mod simd;

mod grammar;
mod number;
mod utf8;
