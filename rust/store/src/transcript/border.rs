//! Where the last completed turns begin, counted from the end of the file.
//!
//! The rule is that of `OpenClaw`'s `pruneProcessedHistoryImages`: a turn begins with a message of
//! the user, and is completed by one of the assistant; if more than three are completed, all before
//! the third-last is old. The gateway counts on the way from the last record to the root. Whoever
//! reads the file line by line counts the abandoned branches too. Both counts are made, and the
//! earlier border holds.
//!
//! What does not read with certainty counts for nothing. That can only make turns fewer, and the
//! border earlier.

use super::parser::Parser;
use super::record::{Kind, Reads, Record, Role, Short};
use super::RECENT_TURNS;
use crate::input::error::{Error, ErrorKind, Result};
use crate::input::io::{read_full, read_range, Control, ReadAt};
use crate::input::limits::BUFFER_BYTES;

/// Where the recent turns begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Border {
    /// The first byte of the line that begins the third-last completed turn; none if nothing
    /// before it is old.
    pub at: Option<u64>,
}

/// Finds the border of a transcript of so many bytes.
///
/// # Errors
///
/// `Io`, `Cancelled`, and `ErrorKind::Changed` if the file became shorter.
///
/// # Memory
///
/// O(1): two buffers of 256 KiB. What lies before the border is not read, unless it has no end.
pub fn find(input: &dyn ReadAt, bytes: u64, control: &Control) -> Result<Border> {
    let mut lines = Backwards {
        input,
        control,
        window: vec![0; BUFFER_BYTES],
        from: bytes,
        to: bytes,
        buffer: vec![0; BUFFER_BYTES],
        parser: Parser::new(),
    };
    let mut counts = Counts {
        linear: Turns::default(),
        path: Turns::default(),
        way: Way::Unknown,
    };
    let mut end = bytes;
    loop {
        let start = lines.find_start(end)?;
        let record = lines.read(start, end)?;
        counts.take(record);
        if start == 0 || counts.is_decided() {
            break;
        }
        end = start - 1;
    }
    Ok(Border {
        at: counts.border(),
    })
}

/// Completed turns, met from the last to the first.
#[derive(Debug, Default)]
struct Turns {
    has_reply: bool,
    /// A tool result that begins a turn if no message of a user comes before it.
    result: Option<u64>,
    found: u64,
    border: Option<u64>,
}

impl Turns {
    fn take(&mut self, record: &Record) {
        match record.speaker() {
            Some(Role::Assistant) => self.has_reply = true,
            Some(Role::ToolResult) if self.has_reply => self.result = Some(record.start),
            Some(Role::User) => {
                if self.has_reply {
                    self.complete(record.start);
                }
                (self.has_reply, self.result) = (false, None);
            }
            _ => {}
        }
    }

    fn complete(&mut self, start: u64) {
        self.found += 1;
        if self.found == RECENT_TURNS {
            self.border = Some(start);
        }
    }

    /// Takes the beginning of the transcript.
    fn finish(&mut self) {
        if let Some(start) = self.result.take() {
            self.complete(start);
        }
    }

    fn is_enough(&self) -> bool {
        self.found > RECENT_TURNS
    }

    fn border(&self) -> Option<u64> {
        self.border.filter(|_| self.is_enough())
    }
}

/// The way from the last record to the root.
enum Way {
    /// No record with an id was met.
    Unknown,
    /// The next one is called so.
    Next(Short),
    Ended,
}

struct Counts {
    linear: Turns,
    path: Turns,
    way: Way,
}

impl Counts {
    fn take(&mut self, record: &Record) {
        if record.reads != Reads::Surely {
            return;
        }
        if !self.linear.is_enough() {
            self.linear.take(record);
        }
        let is_on_way = match (&self.way, &record.id) {
            _ if record.kind == Some(Kind::Session) => false,
            (Way::Unknown, id) => id.is_some(),
            (Way::Next(next), Some(id)) => next == id,
            _ => false,
        };
        if !is_on_way || self.path.is_enough() {
            return;
        }
        // A leaf only says where the way goes on.
        let next = if record.kind == Some(Kind::Leaf) {
            record.target
        } else {
            self.path.take(record);
            record.parent
        };
        self.way = if let Some(next) = next {
            Way::Next(next)
        } else {
            self.path.finish();
            Way::Ended
        };
    }

    /// Says whether nothing that comes before can change the answer.
    fn is_decided(&self) -> bool {
        let is_short = matches!(self.way, Way::Ended) && !self.path.is_enough();
        is_short || self.linear.is_enough() && self.path.is_enough()
    }

    fn border(mut self) -> Option<u64> {
        self.linear.finish();
        self.path.finish();
        match self.way {
            Way::Unknown => self.linear.border(),
            _ => Some(self.linear.border()?.min(self.path.border()?)),
        }
    }
}

/// Reads lines from the last to the first.
struct Backwards<'a> {
    input: &'a dyn ReadAt,
    control: &'a Control,
    /// Holds `[from, to)` of the file.
    window: Vec<u8>,
    from: u64,
    to: u64,
    buffer: Vec<u8>,
    parser: Parser,
}

impl Backwards<'_> {
    /// Finds where the line begins that ends at `end`.
    fn find_start(&mut self, end: u64) -> Result<u64> {
        let mut at = end;
        while at > 0 {
            if at <= self.from || at > self.to {
                self.load(at)?;
            }
            let here = &self.window[..index(at - self.from)];
            if let Some(place) = here.iter().rposition(|byte| *byte == b'\n') {
                return Ok(self.from + place as u64 + 1);
            }
            at = self.from;
        }
        Ok(0)
    }

    /// Fills the window with what ends at `to`.
    fn load(&mut self, to: u64) -> Result<()> {
        let from = to.saturating_sub(self.window.len() as u64);
        let want = index(to - from);
        self.control.advance(want)?;
        if read_full(self.input, &mut self.window[..want], from)? < want {
            return Err(Error::invalid(ErrorKind::Changed, from));
        }
        (self.from, self.to) = (from, to);
        Ok(())
    }

    fn read(&mut self, start: u64, end: u64) -> Result<&Record> {
        let parser = &mut self.parser;
        parser.begin(start);
        if start >= self.from && end <= self.to {
            let line = &self.window[index(start - self.from)..index(end - self.from)];
            parser.feed(line, start, false);
        } else {
            let mut at = start;
            read_range(self.input, start, end, &mut self.buffer, |bytes| {
                self.control.advance(bytes.len())?;
                parser.feed(bytes, at, false);
                at += bytes.len() as u64;
                Ok(())
            })?;
        }
        parser.end(end);
        Ok(&parser.record)
    }
}

/// Turns a length that fits into a buffer into an index.
fn index(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
