//! How a store is laid out: its line breaks, and what indents its lines.

/// What separates lines and what indents them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Indentation {
    pub(super) byte: u8,
    pub(super) width: u64,
    crlf: bool,
    /// The beginning of an entry was seen in it.
    pub is_seen: bool,
}

impl Indentation {
    /// The gateway's own: `JSON.stringify(store, null, 2)`.
    const GATEWAY: Self = Self {
        byte: b' ',
        width: 2,
        crlf: false,
        is_seen: false,
    };

    /// Finds the indentation in the first lines. It doubles from one line to the next only where an
    /// entry begins. The gateway's own is taken where nothing says another.
    pub(crate) fn find(head: &[u8]) -> Self {
        let lines: Vec<&[u8]> = head.split(|byte| *byte == b'\n').collect();
        let crlf = lines.len() > 1 && lines[0].ends_with(b"\r");
        let mut votes: Vec<((u8, u64), usize)> = vec![((b' ', 2), 0)];
        for pair in lines.windows(2) {
            let (Some(outer), Some(inner)) = (name_indentation(pair[0]), name_indentation(pair[1]))
            else {
                continue;
            };
            if pair[0].trim_ascii_end().ends_with(b"{") && inner == (outer.0, 2 * outer.1) {
                match votes
                    .iter()
                    .position(|(indentation, _)| *indentation == outer)
                {
                    Some(at) => votes[at].1 += 1,
                    None if votes.len() < 64 => votes.push((outer, 1)),
                    None => {}
                }
            }
        }
        let most = votes.iter().rev().max_by_key(|(_, count)| *count);
        most.map_or(Self::GATEWAY, |((byte, width), count)| Self {
            byte: *byte,
            width: *width,
            crlf,
            is_seen: *count > 0,
        })
    }

    /// Returns the line break.
    pub(crate) fn line_break(self) -> &'static [u8] {
        if self.crlf {
            b"\r\n"
        } else {
            b"\n"
        }
    }

    /// Returns what stands before an entry: a line break and the indentation.
    pub(crate) fn before_entry(self) -> Vec<u8> {
        let mut text = self.line_break().to_vec();
        text.extend((0..self.width).map(|_| self.byte));
        text
    }
}

/// Returns what indents a line that begins with a name: the byte, and how many of it.
fn name_indentation(line: &[u8]) -> Option<(u8, u64)> {
    let (&byte, _) = line
        .split_first()
        .filter(|(byte, _)| matches!(byte, b' ' | b'\t'))?;
    let count = line.iter().take_while(|other| **other == byte).count();
    (line.get(count) == Some(&b'"')).then_some((byte, count as u64))
}
