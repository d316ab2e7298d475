//! One pass over one file, timed from within and told as one line of JSON.
//!
//! ```text
//! tailflip-bench read|bufjson|serde FILE
//! tailflip-bench scan|digest|survey FILE [KERNEL]
//! tailflip-bench compact STORE HOME all|running|one
//! ```
//!
//! A process of its own for each, because what it peaks at is measured too.

use bufjson::lexical::read::ReadAnalyzer;
use bufjson::lexical::Token;
use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::io::{BufReader, Read};
use std::path::Path;
use std::time::Instant;
use tailflip_store::bytes::lex::{Chunk, Lexer};
use tailflip_store::bytes::simd::Level;
use tailflip_store::entry::{Entries, Entry, EntryVisitor};
use tailflip_store::input::io::{Control, ReadAt};
use tailflip_store::input::limits::BUFFER_BYTES;
use tailflip_store::judge::evidence::Evidence;
use tailflip_store::judge::policy::Policy;
use tailflip_store::pass::scan::{check, scan_with};
use tailflip_store::pass::{rewrite, survey, verify};

type Outcome<T> = Result<T, Box<dyn Error>>;

struct Store(File);

impl ReadAt for Store {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        Ok(rustix::io::pread(&self.0, buffer, offset)?)
    }
}

/// Takes the fields of each entry that the policy looks at.
#[derive(Default)]
struct Fields {
    entries: u64,
    latest: Option<i64>,
}

impl EntryVisitor for Fields {
    fn entry(&mut self, entry: &Entry, _: &Chunk<'_>) -> tailflip_store::input::error::Result<()> {
        self.entries += 1;
        self.latest = self.latest.max(entry.fields.updated_ms);
        black_box(entry);
        Ok(())
    }
}

fn level(name: Option<&str>) -> Outcome<Level> {
    let Some(name) = name else {
        return Ok(Level::best());
    };
    let level = Level::all().into_iter().find(|level| level.name() == name);
    level.ok_or_else(|| format!("no such kernel here: {name}").into())
}

fn policy(kind: &str) -> Outcome<Policy> {
    let now_ms = i64::try_from(std::time::UNIX_EPOCH.elapsed()?.as_millis())?;
    let all = kind == "all";
    Ok(Policy {
        now_ms,
        slim_runs: all,
        slim_idle_ms: None,
        retire: all,
        retention_ms: all.then_some(86_400_000),
        max_lifetime_ms: (kind != "one").then_some(3_600_000),
        single_flight: all,
        cap_per_job: None,
        cap_total: None,
        drop_kinds: Vec::new(),
        owner_died_before_ms: Some(now_ms),
        knows_ends: true,
    })
}

fn compact(store: &Path, home: &Path, kind: &str) -> Outcome<()> {
    let mut evidence = Evidence::empty(1);
    evidence.add_dropped_key("agent:main:main");
    let (policy, control) = (policy(kind)?, Control::default());
    let open = |name: &str| {
        let path = home.join(name);
        File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
    };
    let mut at = Instant::now();
    let mut spent = cpu_s();
    let mut lap = |name: &str| {
        eprintln!(
            "{name:>16} {:.3} cpu {:.3}",
            at.elapsed().as_secs_f64(),
            cpu_s() - spent
        );
        at = Instant::now();
        spent = cpu_s();
    };
    let input = Store(File::open(store)?);
    let surveyed = survey(&input, &policy, &evidence, &control)?;
    lap("survey");
    let (new, kept) = (open("new.json")?, open("records.zst")?);
    let read_back = Store(File::open(home.join("records.zst"))?);
    let wrote = rewrite(
        &input, &new, &kept, &read_back, &policy, &evidence, &surveyed, &control,
    )?;
    lap("rewrite");
    kept.sync_all()?;
    lap("fsync archive");
    new.sync_all()?;
    lap("fsync store");
    let read = verify(&Store(new), &control)?;
    assert_eq!(read.digest, wrote.digest);
    lap("verify store");
    std::fs::rename(home.join("new.json"), store)?;
    lap("rename");
    drop(input);
    lap("close");
    eprintln!("archive {} store {}", wrote.archive_bytes, wrote.bytes);
    Ok(())
}

fn read(path: &str) -> Outcome<()> {
    let (mut file, mut buffer) = (File::open(path)?, vec![0; BUFFER_BYTES]);
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}

fn use_bufjson(path: &str) -> Outcome<()> {
    let mut parser = ReadAnalyzer::new(File::open(path)?).into_parser();
    loop {
        match parser.next() {
            Token::Eof => return Ok(()),
            Token::Err => return Err(parser.err().to_string().into()),
            token => black_box(token),
        };
    }
}

fn use_serde(path: &str) -> Outcome<()> {
    let reader = BufReader::with_capacity(BUFFER_BYTES, File::open(path)?);
    serde_json::from_reader::<_, serde::de::IgnoredAny>(reader)?;
    Ok(())
}

fn peak_kib() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    Ok(line
        .and_then(|l| l.split_whitespace().next())
        .unwrap_or("0")
        .parse()?)
}

/// What all threads of this process took so far, in the kernel too.
fn cpu_s() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    #[allow(clippy::cast_precision_loss)] // seconds
    let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    seconds
}

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let before = peak_kib()?;
    let start = Instant::now();
    match args[..] {
        ["read", path] => read(path)?,
        ["bufjson", path] => use_bufjson(path)?,
        ["serde", path] => use_serde(path)?,
        ["scan", path, ref kernel @ ..] => {
            let lexer = Lexer::with_level(level(kernel.first().copied())?);
            let mut entries = Entries::new(Fields::default(), 1);
            check(
                lexer,
                &Store(File::open(path)?),
                &Control::default(),
                &mut entries,
            )?;
        }
        ["digest", path, ref kernel @ ..] => {
            let lexer = Lexer::with_level(level(kernel.first().copied())?);
            let mut entries = Entries::new(Fields::default(), 1);
            let store = Store(File::open(path)?);
            scan_with(
                lexer,
                BUFFER_BYTES,
                &store,
                &Control::default(),
                &mut entries,
            )?;
        }
        ["survey", path] => {
            let (evidence, store) = (Evidence::empty(1), Store(File::open(path)?));
            let found = survey(&store, &policy("all")?, &evidence, &Control::default())?;
            black_box(found);
        }
        ["compact", store, home, kind] => compact(store.as_ref(), home.as_ref(), kind)?,
        _ => return Err("see the head of main.rs".into()),
    }
    println!(
        r#"{{"wall_s": {:.6}, "cpu_s": {:.6}, "before_kib": {before}, "peak_kib": {}}}"#,
        start.elapsed().as_secs_f64(),
        cpu_s(),
        peak_kib()?
    );
    Ok(())
}
