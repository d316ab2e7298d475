//! Puts a file together from ranges of another and new text, perhaps on a thread of its own.
//!
//! The pass that judges only names the pieces; digesting, compressing and writing them is the work
//! of the thread, one for each file. It takes them out of the buffers that the pass just read, and
//! reads once more only what begins further back.

use crate::bytes::lex::Chunk;
use crate::entry::Span;
use crate::input::buffer_pool::PooledBuffer;
use crate::input::error::{Error, ErrorKind, Result};
use crate::input::io::{read_full, Control, ReadAt};
use crate::input::limits::{BATCH_BYTES, BATCH_PIECES, BATCH_TEXT, BUFFER_BYTES};
use std::io::Write;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{sync_channel, Receiver, SyncSender};
use std::sync::Arc;
use std::thread::{Builder, Scope, ScopedJoinHandle};

/// Batches between the two threads: one is filled, one waits, one is worked on.
const WAITING: usize = 1;
/// Buffers of the input held for pieces to come: what is cut out seldom begins further back.
const RECENT: usize = 2;
/// Ranges up to this size are copied: for less, no buffer is worth holding.
const COPIED_BYTES: u64 = 4 * 1024;
/// What is read at least: small ranges lie close together.
const LEAST_BYTES: usize = 4 * 1024;

#[derive(Debug, Clone)]
enum Piece {
    /// So many bytes of the batch's text.
    Text(usize),
    /// These bytes of the input.
    Range(Span),
    /// The same, of a buffer that still has them.
    Held(Arc<PooledBuffer>, Span),
}

#[derive(Debug, Default)]
struct Batch {
    pieces: Vec<Piece>,
    text: Vec<u8>,
    bytes: u64,
    /// Buffers that its pieces hold.
    held: usize,
}

impl Batch {
    fn clear(&mut self) {
        self.pieces.clear();
        self.text.clear();
        (self.bytes, self.held) = (0, 0);
    }
}

/// A view of the input that moves forward: ranges close together cost one read.
struct Window<'a> {
    input: &'a dyn ReadAt,
    buffer: Vec<u8>,
    start: u64,
    filled: usize,
}

impl Window<'_> {
    fn end(&self) -> u64 {
        self.start + self.filled as u64
    }

    /// Returns bytes from `at` on, at least one and none from `to` on.
    fn get(&mut self, at: u64, to: u64) -> Result<&[u8]> {
        if at < self.start || at >= self.end() {
            // Who goes on where the last read ended will go on for longer.
            let goes_on = at == self.end() && self.filled >= LEAST_BYTES;
            let least = if goes_on {
                2 * self.filled
            } else {
                LEAST_BYTES
            };
            let due = usize::try_from(to - at).unwrap_or(usize::MAX);
            let want = due.max(least).min(self.buffer.len());
            self.start = at;
            self.filled = read_full(self.input, &mut self.buffer[..want], at)?;
            if self.filled == 0 {
                return Err(Error::invalid(ErrorKind::Changed, at));
            }
        }
        // Both differences are within the buffer.
        let index = |offset: u64| usize::try_from(offset - self.start).unwrap_or(self.filled);
        Ok(&self.buffer[index(at)..index(to.min(self.end()))])
    }
}

struct Joiner<'a, W> {
    window: Window<'a>,
    control: &'a Control,
    out: W,
}

impl<W: Write> Joiner<'_, W> {
    fn write(&mut self, batch: &Batch) -> Result<()> {
        let mut text = batch.text.as_slice();
        for piece in &batch.pieces {
            match piece {
                Piece::Text(bytes) => {
                    let (now, later) = text.split_at(*bytes);
                    self.out.write_all(now)?;
                    text = later;
                }
                Piece::Held(buffer, span) => {
                    self.control.check()?;
                    let bytes = Chunk::of(buffer).slice(span.start, span.end);
                    self.out.write_all(bytes)?;
                }
                Piece::Range(span) => {
                    let mut at = span.start;
                    while at < span.end {
                        self.control.check()?;
                        let bytes = self.window.get(at, span.end)?;
                        self.out.write_all(bytes)?;
                        at += bytes.len() as u64;
                    }
                }
            }
        }
        Ok(())
    }
}

enum Route<'scope, W> {
    Inline(Joiner<'scope, W>),
    Threaded {
        /// Batches that wait or are worked on.
        due: Arc<AtomicUsize>,
        full: SyncSender<Batch>,
        free: Receiver<Batch>,
        worker: Option<ScopedJoinHandle<'scope, Result<W>>>,
    },
}

/// Writes pieces to `W` in the order in which they are named.
///
/// # Memory
///
/// O(1): a buffer of 256 KiB, and three batches of at most about 90 KiB and one text. Of the
/// buffers of the pass that judges it holds two, and two more for each batch.
pub(crate) struct Splicer<'scope, W> {
    batch: Batch,
    /// The last buffers of the input, newest first.
    recent: [Option<Arc<PooledBuffer>>; RECENT],
    route: Route<'scope, W>,
}

impl<'scope, W: Write> Splicer<'scope, W> {
    /// Makes one that writes on the caller's thread.
    pub(crate) fn inline(input: &'scope dyn ReadAt, control: &'scope Control, out: W) -> Self {
        let window = Window {
            input,
            buffer: vec![0; BUFFER_BYTES],
            start: 0,
            filled: 0,
        };
        Self {
            batch: Batch::default(),
            recent: Default::default(),
            route: Route::Inline(Joiner {
                window,
                control,
                out,
            }),
        }
    }

    /// Moves the work to a thread of `scope`, if one is to be had.
    pub(crate) fn threaded(self, scope: &'scope Scope<'scope, '_>, name: &str) -> Self
    where
        W: Send + 'scope,
    {
        let Route::Inline(joiner) = self.route else {
            return self;
        };
        let (full, work) = sync_channel::<Batch>(WAITING);
        let (done, free) = sync_channel::<Batch>(WAITING + 1);
        // A thread that cannot be started takes its closure with it: the joiner waits elsewhere.
        let (hand, over) = sync_channel::<Joiner<'scope, W>>(1);
        let due = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&due);
        let run = move || -> Result<W> {
            let Ok(mut joiner) = over.recv() else {
                return Err(Error::Cancelled); // never: it is sent below
            };
            for mut batch in work {
                joiner.write(&batch)?;
                batch.clear();
                left.fetch_sub(1, Ordering::Relaxed);
                done.try_send(batch).ok();
            }
            Ok(joiner.out)
        };
        let route = match Builder::new()
            .name(name.to_owned())
            .spawn_scoped(scope, run)
        {
            Ok(worker) => {
                hand.send(joiner).ok();
                Route::Threaded {
                    due,
                    full,
                    free,
                    worker: Some(worker),
                }
            }
            Err(_) => Route::Inline(joiner),
        };
        Self {
            batch: self.batch,
            recent: self.recent,
            route,
        }
    }

    /// Holds the piece of the input that the pass looks at, so that it need not be read again.
    pub(crate) fn hold(&mut self, chunk: &Chunk<'_>) {
        let Some(buffer) = chunk.buffer else { return };
        if self.recent[0].as_ref().map(|newest| newest.base()) != Some(buffer.base()) {
            self.recent.rotate_right(1);
            self.recent[0] = Some(Arc::clone(buffer));
        }
    }

    /// Says whether its thread has enough to do for now.
    pub(crate) fn is_behind(&self) -> bool {
        match &self.route {
            Route::Inline(_) => false,
            Route::Threaded { due, .. } => due.load(Ordering::Relaxed) > WAITING,
        }
    }

    /// Adds new text.
    pub(crate) fn text(&mut self, text: &[u8]) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.batch.text.extend_from_slice(text);
        match self.batch.pieces.last_mut() {
            Some(Piece::Text(bytes)) => *bytes += text.len(),
            _ => self.batch.pieces.push(Piece::Text(text.len())),
        }
        self.flush_if_full()
    }

    /// Adds a range of the input; ranges come in ascending order.
    pub(crate) fn range(&mut self, span: Span) -> Result<()> {
        let mut start = span.start;
        while start < span.end {
            let recent = self.recent.iter().rev().flatten();
            let mut later = recent.filter(|buffer| buffer.end() > start);
            let (buffer, end) = match later.next() {
                Some(buffer) if buffer.base() <= start => (Some(Arc::clone(buffer)), buffer.end()),
                Some(buffer) => (None, buffer.base()),
                None => (None, span.end),
            };
            let end = end.min(span.end);
            self.add(buffer, Span { start, end })?;
            start = end;
        }
        Ok(())
    }

    fn add(&mut self, buffer: Option<Arc<PooledBuffer>>, span: Span) -> Result<()> {
        if let Some(buffer) = buffer.as_ref().filter(|_| span.len() <= COPIED_BYTES) {
            return self.text(Chunk::of(buffer).slice(span.start, span.end));
        }
        self.batch.bytes += span.len();
        match (self.batch.pieces.last_mut(), buffer) {
            (Some(Piece::Range(last)), None) if last.end == span.start => last.end = span.end,
            (Some(Piece::Held(held, last)), Some(buffer))
                if last.end == span.start && held.base() == buffer.base() =>
            {
                last.end = span.end;
            }
            (_, None) => self.batch.pieces.push(Piece::Range(span)),
            (_, Some(buffer)) => {
                let mut held = self
                    .batch
                    .pieces
                    .iter()
                    .rev()
                    .filter_map(|piece| match piece {
                        Piece::Held(held, _) => Some(held.base()),
                        _ => None,
                    });
                if held.next() != Some(buffer.base()) {
                    self.batch.held += 1;
                }
                self.batch.pieces.push(Piece::Held(buffer, span));
            }
        }
        self.flush_if_full()
    }

    /// Ends the file; returns what was written to, once all is written.
    pub(crate) fn finish(mut self) -> Result<W> {
        self.flush()?;
        match self.route {
            Route::Inline(joiner) => Ok(joiner.out),
            Route::Threaded { full, worker, .. } => {
                drop(full);
                join(worker)
            }
        }
    }

    fn flush_if_full(&mut self) -> Result<()> {
        let batch = &self.batch;
        if batch.pieces.len() >= BATCH_PIECES
            || batch.text.len() >= BATCH_TEXT
            || batch.bytes >= BATCH_BYTES
            || batch.held >= RECENT
        {
            return self.flush();
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        match &mut self.route {
            Route::Inline(joiner) => {
                joiner.write(&self.batch)?;
                self.batch.clear();
                Ok(())
            }
            Route::Threaded {
                due,
                full,
                free,
                worker,
            } => {
                due.fetch_add(1, Ordering::Relaxed);
                let next = free.try_recv().unwrap_or_default();
                let batch = std::mem::replace(&mut self.batch, next);
                match full.send(batch) {
                    Ok(()) => Ok(()),
                    // It ended early: only an error does that.
                    Err(_) => join(worker.take()).and(Err(Error::Cancelled)),
                }
            }
        }
    }
}

fn join<W>(worker: Option<ScopedJoinHandle<'_, Result<W>>>) -> Result<W> {
    match worker.map(ScopedJoinHandle::join) {
        Some(Ok(outcome)) => outcome,
        Some(Err(panic)) => resume_unwind(panic),
        None => Err(Error::Cancelled), // it was asked before
    }
}
