//! The budget for hostile input. Every table here is allocated once, whatever the store.

/// Bytes read at a time; larger gains nothing, smaller costs little.
pub const BUFFER_BYTES: usize = 256 * 1024;
/// What is read before a thread is started to read ahead and tables are taken whole. Inputs of a
/// fuzzer are small, and must see these threads too.
pub const INLINE_BYTES: u64 = if cfg!(fuzzing) { 200 } else { 1024 * 1024 };
/// Buffers that wait for the scan, filled, at most.
pub const AHEAD_BUFFERS: usize = 2;
/// Buffers in all, where two that write files hold two each for later, and two each in a batch that
/// is not handed over yet; the others go round.
pub const POOL_BUFFERS: usize = 8;
/// Nesting levels accepted; one bit each, so 512 KiB at most.
pub const MAX_DEPTH: u64 = 4 * 1024 * 1024;
/// Captured bytes of a key or value; a longer key is fingerprinted as it streams by and its
/// entry is kept, a longer value counts as unknown.
pub const CAPTURE_BYTES: usize = 4 * 1024;
/// Longest key that is looked at, and longest session id: what is captured, without its quotes.
pub const KEY_BYTES: usize = CAPTURE_BYTES - 2;
/// Bytes of a damaged line that are looked at for a key; a longer key there is told as unsure.
pub const LINE_BYTES: u64 = 64 * 1024;
/// Places of a damaged store that are told one by one.
pub const GAPS: usize = 8;
/// Cron jobs tracked per store; entries of further jobs are judged by age alone.
pub const JOBS: usize = 4096;
/// Longest job id, and agent id, that is remembered for display.
pub const NAME_BYTES: usize = 64;
/// Distinct top-level field names that are told apart.
pub const FIELDS: usize = 128;
/// Slots for key fingerprints in one pass of the duplicate search (2 bytes each, filled to 4/5).
pub const FINGERPRINTS: usize = 2 * 1024 * 1024;
/// Keys that may occur twice, to be looked at once more (16 bytes each).
pub const SUSPECTS: usize = 32 * 1024;
/// Largest cap on the runs of a job: few enough that many jobs fit into [`RANKS`].
pub const CAP_PER_JOB: usize = 4096;
/// Largest cap on the runs of all jobs.
pub const CAP_TOTAL: usize = 64 * 1024;
/// Ranks held for all caps together (16 bytes each).
pub const RANKS: usize = 128 * 1024;
/// Records sorted in memory at a time (32 bytes each); further ones go to a scratch file.
pub const SORT_RECORDS: usize = 16 * 1024;
/// Sorted parts of that file that are merged into one at a time.
pub const FAN: usize = 64;
/// Sessions or keys named by other evidence.
pub const NAMED: usize = 64 * 1024;
/// Pieces of a file being written that are handed over at once.
pub const BATCH_PIECES: usize = if cfg!(fuzzing) { 2 } else { 1024 };
/// New text among them, at which a batch is full.
pub const BATCH_TEXT: usize = 64 * 1024;
/// Bytes of the input among them, at which a batch is full.
pub const BATCH_BYTES: u64 = 256 * 1024;
/// Rows of a database that Python hands over at once.
pub const ROWS: usize = 16 * 1024;
/// Names that are asked for in one pass over a file.
pub const MENTIONS: usize = 32 * 1024;
/// Longest such name; a name in a folder has no more.
pub const MENTION_BYTES: usize = 255;
/// Shortest such name: a shorter one occurs in too much.
pub const MENTION_WINDOW: usize = 8;
