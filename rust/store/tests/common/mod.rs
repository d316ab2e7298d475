//! An independent strict parser of small documents, for comparison only.

/// What an entry looks like to the oracle: offsets of key, value and of each top-level field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// From the key's quote to the value's end.
    pub span: (usize, usize),
    /// Raw name (with quotes) and value range of each field of an object.
    pub fields: Vec<(String, (usize, usize))>,
}

/// Recursive descent over a whole document: `None` when it is not a valid store.
pub fn parse(input: &[u8]) -> Option<Vec<Seen>> {
    std::str::from_utf8(input).ok()?;
    let mut p = Oracle { input, at: 0 };
    p.space();
    let mut seen = Vec::new();
    p.object(|p, start, _name| {
        let mut fields = Vec::new();
        if p.peek() == Some(b'{') {
            p.object(|p, _, name| {
                let from = p.at;
                p.value()?;
                fields.push((name, (from, p.at)));
                Some(())
            })?;
        } else {
            p.value()?;
        }
        seen.push(Seen {
            span: (start, p.at),
            fields,
        });
        Some(())
    })?;
    p.space();
    (p.at == input.len()).then_some(seen)
}

struct Oracle<'a> {
    input: &'a [u8],
    at: usize,
}

impl Oracle<'_> {
    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, usize, String) -> Option<()>,
    ) -> Option<()> {
        self.eat(b'{')?;
        self.space();
        if self.eat(b'}').is_some() {
            return Some(());
        }
        loop {
            self.space();
            let start = self.at;
            self.string()?;
            let name = String::from_utf8(self.input[start..self.at].to_vec()).ok()?;
            self.space();
            self.eat(b':')?;
            self.space();
            member(self, start, name)?;
            self.space();
            if self.eat(b'}').is_some() {
                return Some(());
            }
            self.eat(b',')?;
        }
    }

    fn value(&mut self) -> Option<()> {
        match self.peek()? {
            b'{' => self.object(|p, _, _| p.value()),
            b'[' => {
                self.at += 1;
                self.space();
                if self.eat(b']').is_some() {
                    return Some(());
                }
                loop {
                    self.space();
                    self.value()?;
                    self.space();
                    if self.eat(b']').is_some() {
                        return Some(());
                    }
                    self.eat(b',')?;
                }
            }
            b'"' => self.string(),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.input[self.at..]
            .starts_with(word)
            .then(|| self.at += word.len())
    }

    fn string(&mut self) -> Option<()> {
        self.eat(b'"')?;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => {
                    self.at += 1;
                    match self.peek()? {
                        b'u' => {
                            let hex = self.input.get(self.at + 1..self.at + 5)?;
                            if !hex.iter().all(u8::is_ascii_hexdigit) {
                                return None;
                            }
                            self.at += 5;
                        }
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
                        _ => return None,
                    }
                }
                0..=0x1F => return None,
                _ => self.at += 1,
            }
        }
    }

    fn digits(&mut self) -> Option<()> {
        let from = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > from).then_some(())
    }

    fn number(&mut self) -> Option<()> {
        let _ = self.eat(b'-');
        if self.eat(b'0').is_none() {
            self.digits()?;
        }
        if self.eat(b'.').is_some() {
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }
}
