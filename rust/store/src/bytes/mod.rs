//! From bytes to the parts of a document: masks, tokens, grammar, UTF-8.

pub mod lex;
pub mod simd;

pub(crate) mod grammar;
pub(crate) mod number;
pub(crate) mod utf8;
