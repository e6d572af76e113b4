//! Journals are damaged, and files are read that are no journals.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use rollway::cli::Exit;
use rollway::event::Event;
use rollway::journal::{
    Finding, Journal, JournalOptions, Position, ReadError, Reads, Scan, Survey, segment_paths,
};

use crate::case::{Bench, Case, Failure, Outcome, Scene};
use crate::journal::{BlockText, Contents};
use crate::programs::worker::{End, Plan};
use crate::random::Random;

pub(crate) const CASES: &[Case] = &[
    Case {
        id: "R16",
        what: "a journal of 1 MiB is damaged: flips, cuts, zeroed, doubled and swapped pages, garbage",
        target: "20,000 mutations: no panic, no hang, 0 wrong events; all but the touched blocks read, unless no definition is left",
        run: |bench| damaged(bench).into(),
    },
    Case {
        id: "R17",
        what: "a tail of zeroes, an unclean end, an empty file, a head only",
        target: "0 false alarms",
        run: |bench| unclean(bench).into(),
    },
    Case {
        id: "R18",
        what: "files of another version, byte order, product or compression",
        target: "8 of 8 are refused by name with an exit code other than 0",
        run: |bench| foreign(bench).into(),
    },
];

const PAGE_BYTES: usize = 4096;
const JOURNAL_BYTES: usize = 1 << 20;
/// A reader that takes longer hangs.
const READER_PATIENCE: Duration = Duration::from_secs(30);
/// Every so many mutations the slower readers read as well.
const SLOW_EVERY: u64 = 8;

/// A journal as it was written.
struct Original {
    bytes: Vec<u8>,
    /// The name of the segment file.
    name: String,
    blocks: Vec<BlockText>,
}

impl Original {
    /// What a worker writes into one segment.
    fn new(bench: &Bench, scene: &Scene) -> Result<Original, Failure> {
        let plan = Plan {
            ledger: scene.memory("ledger"),
            rings: Some(scene.memory("rings")),
            journal: Some(scene.disk("original")),
            threads: 3,
            events: 3200,
            padding: 60,
            pace_ns: 20_000,
            end: End::Drop,
            ..Plan::default()
        };
        bench.start("worker", &plan)?.wait()?.report()?;
        let paths = segment_paths(&scene.disk("original"))?;
        let (_, path) = paths.first().ok_or("the worker left no segment")?;
        let mut blocks = Contents::blocks(path)?;
        blocks.retain(|block| block.bytes.end <= JOURNAL_BYTES as u64);
        let end = blocks.last().map_or(0, |block| block.bytes.end as usize);
        let mut bytes = fs::read(path)?;
        bytes.truncate(end);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Original { bytes, name, blocks })
    }

    /// The messages of the blocks that lie outside of all of `touched`.
    fn untouched(&self, touched: &[Range<usize>]) -> impl Iterator<Item = &String> {
        let is_whole = |block: &&BlockText| !overlaps(block, touched);
        self.blocks.iter().filter(is_whole).flat_map(|block| &block.messages)
    }

    /// Whether everything that says what the events refer to lies in `touched`.
    fn is_undefined(&self, touched: &[Range<usize>]) -> bool {
        self.blocks.iter().filter(|block| block.defines).all(|block| overlaps(block, touched))
    }

    fn messages(&self) -> impl Iterator<Item = &String> {
        self.blocks.iter().flat_map(|block| &block.messages)
    }
}

fn overlaps(block: &BlockText, touched: &[Range<usize>]) -> bool {
    let own = block.bytes.start as usize..block.bytes.end as usize;
    touched.iter().any(|range| range.start < own.end && own.start < range.end)
}

/// Whether a file of this length has all of a block but some of what fills it up, and no other block
/// behind it.
fn is_padding(block: &BlockText, length: u64) -> bool {
    block.used_end <= length && length <= block.bytes.end
}

/// Whether the last blocks lie within what was touched, and no other is.
fn is_tail(original: &Original, touched: &[Range<usize>]) -> bool {
    let mut hit = original.blocks.iter().skip_while(|block| !overlaps(block, touched));
    hit.all(|block| {
        let own = block.bytes.start as usize..block.used_end as usize;
        touched.iter().any(|range| range.start <= own.start && own.end <= range.end)
    })
}

/// A kind of damage.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Damage {
    FlippedBit,
    Byte,
    Cut,
    ZeroedPage,
    DoubledPage,
    SwappedPages,
    Garbage,
    DoubledBlock,
}

const DAMAGES: [Damage; 8] = [
    Damage::FlippedBit,
    Damage::Byte,
    Damage::Cut,
    Damage::ZeroedPage,
    Damage::DoubledPage,
    Damage::SwappedPages,
    Damage::Garbage,
    Damage::DoubledBlock,
];

/// A damaged copy.
struct Mutant {
    damage: Damage,
    bytes: Vec<u8>,
    /// What of the original is not there as it was.
    touched: Vec<Range<usize>>,
}

impl Mutant {
    fn of(original: &Original, random: &mut Random) -> Mutant {
        let damage = DAMAGES[random.below(DAMAGES.len() as u64) as usize];
        let mut bytes = original.bytes.clone();
        let pages = (bytes.len() / PAGE_BYTES) as u64;
        let mut page = || {
            let at = random.below(pages) as usize * PAGE_BYTES;
            at..at + PAGE_BYTES
        };
        let (one, other) = (page(), page());
        let at = random.below(bytes.len() as u64) as usize;
        let only = |range: Range<usize>| vec![range];
        let touched = match damage {
            Damage::FlippedBit => {
                bytes[at] ^= 1 << random.below(8);
                only(at..at + 1)
            }
            Damage::Byte => {
                bytes[at] = random.below(256) as u8;
                only(at..at + 1)
            }
            Damage::Cut => {
                bytes.truncate(at);
                only(at..original.bytes.len())
            }
            Damage::ZeroedPage => {
                bytes[one.clone()].fill(0);
                vec![one]
            }
            Damage::DoubledPage => {
                bytes.copy_within(one, other.start);
                vec![other]
            }
            Damage::SwappedPages => {
                bytes.copy_within(other.clone(), one.start);
                bytes[other.clone()].copy_from_slice(&original.bytes[one.clone()]);
                vec![one, other]
            }
            Damage::Garbage => {
                // What stands between two blocks harms neither; within one it is a part of it.
                let at = at / 64 * 64;
                let garbage: Vec<u8> =
                    (0..64 * (1 + random.below(16))).map(|_| random.below(256) as u8).collect();
                bytes.splice(at..at, garbage);
                let splits = |block: &&BlockText| {
                    (block.bytes.start as usize) < at && at < block.bytes.end as usize
                };
                original.blocks.iter().filter(splits).map(|_| at - 1..at + 1).collect()
            }
            Damage::DoubledBlock => {
                let block = &original.blocks[random.below(original.blocks.len() as u64) as usize];
                let block = block.bytes.start as usize..block.bytes.end as usize;
                bytes.splice(block.end..block.end, original.bytes[block.clone()].to_vec());
                Vec::new()
            }
        };
        Mutant { damage, bytes, touched }
    }
}

/// What a reader made of a journal.
struct Reading {
    messages: Vec<String>,
    /// Whether it said that something is wrong.
    told: bool,
}

type Read = fn(&Path) -> Result<Reading, Failure>;

/// Ways to read a journal directory.
const READERS: [(&str, Read); 4] =
    [("verify", by_survey), ("cat", by_cat), ("outlet", by_outlet), ("salvage", by_salvage)];

/// What was found out about the readers.
#[derive(Default)]
struct Findings {
    /// Mutants that made a reader panic, hang or fail, invent or double events.
    wrong: u64,
    /// Mutants of which a reader did not read all untouched blocks.
    unsalvaged: u64,
    /// Events lost so.
    unsalvaged_events: u64,
    /// Mutants without any definition left, so that events could not be understood.
    undefined: u64,
    /// Mutants of which a reader kept silent about what it had lost.
    silent: u64,
    /// By kind of damage and reader, what failed how often.
    kinds: BTreeSet<(String, &'static str, &'static str)>,
}

fn damaged(bench: &mut Bench) -> Result<Outcome, Failure> {
    let scene = bench.scene()?;
    let original = Original::new(bench, &scene)?;
    let mutations = bench.either(250, 20_000);
    let mut findings = Findings::default();
    let failed = bench.repeat(mutations, |bench, seed| {
        let mutant = Mutant::of(&original, &mut bench.random(seed));
        let readers = if seed % SLOW_EVERY == 0 { READERS.len() } else { 1 };
        let mut judged = Ok(());
        for (name, read) in &READERS[..readers] {
            let dir = scene.memory("mutant");
            fs::create_dir_all(&dir)?;
            fs::write(dir.join(&original.name), &mutant.bytes)?;
            let reading = guarded(dir.clone(), *read);
            fs::remove_dir_all(&dir)?;
            judged = judged.and(findings.judge(&original, &mutant, name, reading));
        }
        judged
    });
    let Findings { wrong, unsalvaged, unsalvaged_events, undefined, silent, kinds } = findings;
    let mut figure = format!(
        "{mutations} mutations: {wrong} read wrong, {unsalvaged} not salvaged ({unsalvaged_events} events), {silent} not told; in {undefined} every definition was hit"
    );
    for (damage, reader, what) in &kinds {
        figure.push_str(&format!("; {damage} by {reader}: {what}"));
    }
    Ok(if failed == 0 { Outcome::Passed(figure) } else { Outcome::Failed(figure) })
}

impl Findings {
    fn judge(
        &mut self,
        original: &Original,
        mutant: &Mutant,
        reader: &'static str,
        reading: Result<Reading, Failure>,
    ) -> Result<(), Failure> {
        let damage = format!("{:?}", mutant.damage);
        let place = || format!("{damage} at {:?}, {reader}", mutant.touched);
        let mut found = |what: &'static str| {
            self.kinds.insert((damage.clone(), reader, what));
        };
        let reading = reading.inspect_err(|_| {
            self.wrong += 1;
            found("panics, hangs or fails");
        });
        let reading = reading.map_err(|failure| format!("{}: {failure}", place()))?;
        let mut counts: HashMap<&str, u64> =
            original.messages().map(|message| (&**message, 0)).collect();
        for message in &reading.messages {
            match counts.get_mut(&**message) {
                Some(0) => counts.insert(message, 1),
                Some(_) => {
                    self.wrong += 1;
                    found("doubles");
                    return Err(format!("{}: `{message:.40}` is read twice", place()).into());
                }
                None => {
                    self.wrong += 1;
                    found("invents");
                    return Err(format!("{}: `{message:.40}` is invented", place()).into());
                }
            };
        }
        let missing = original.untouched(&mutant.touched);
        let missing = missing.filter(|message| counts[&***message] == 0).count() as u64;
        if missing > 0 && original.is_undefined(&mutant.touched) {
            self.undefined += 1;
        } else if missing > 0 {
            (self.unsalvaged, self.unsalvaged_events) =
                (self.unsalvaged + 1, self.unsalvaged_events + missing);
            found("does not salvage");
            return Err(format!("{}: {missing} untouched events are not read", place()).into());
        }
        // A cut at the border of a block, or zeroes in the place of the last ones, leave a journal
        // as it was a moment earlier.
        let is_less = counts.values().any(|count| *count == 0);
        let is_prefix = match mutant.damage {
            Damage::Cut => {
                original.blocks.iter().any(|block| is_padding(block, mutant.bytes.len() as u64))
            }
            Damage::ZeroedPage => is_tail(original, &mutant.touched),
            _ => false,
        };
        if is_less && !is_prefix && !reading.told {
            self.silent += 1;
            found("is silent");
            return Err(format!("{}: nothing was told of a loss", place()).into());
        }
        Ok(())
    }
}

/// Reads in a thread of its own: a panic or a hang is a failure.
fn guarded(
    dir: PathBuf,
    read: impl FnOnce(&Path) -> Result<Reading, Failure> + Send + 'static,
) -> Result<Reading, Failure> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        // Nobody waits for it any more if it took too long.
        let _ = sender.send(read(&dir));
    });
    match receiver.recv_timeout(READER_PATIENCE) {
        Ok(reading) => reading,
        Err(RecvTimeoutError::Timeout) => Err(format!("it hangs for {READER_PATIENCE:?}").into()),
        Err(RecvTimeoutError::Disconnected) => Err("it panics".into()),
    }
}

impl Reads for Reading {
    fn event(&mut self, event: &Event<'_>) {
        let mut message = String::new();
        event.message(&mut message);
        self.messages.push(message);
    }

    fn finding(&mut self, _: Finding) {
        self.told = true;
    }
}

/// Reads as the commands that check and count.
fn by_survey(dir: &Path) -> Result<Reading, Failure> {
    let mut reading = Reading { messages: Vec::new(), told: false };
    let mut survey = Survey::new();
    for (_, path) in segment_paths(dir)? {
        survey.segment(&path, &mut reading)?;
    }
    survey.end(&mut [], &mut reading);
    Ok(reading)
}

/// Reads the copy that is made of everything that can be saved.
fn by_salvage(dir: &Path) -> Result<Reading, Failure> {
    let saved = dir.join("saved");
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (from, to) = (dir.to_string_lossy(), saved.to_string_lossy());
    let arguments = ["rollway", "recover", "--salvage", "--out", &*to, &*from];
    let exit = rollway::cli::run(arguments, &mut out, &mut err);
    if !matches!(exit, Exit::Ok | Exit::Loss | Exit::Damaged) {
        let err = String::from_utf8_lossy(&err);
        return Err(format!("it ends with {}: {err}", exit.code()).into());
    }
    let told = exit != Exit::Ok;
    Ok(Reading { told, ..by_survey(&saved)? })
}

fn by_cat(dir: &Path) -> Result<Reading, Failure> {
    let (exit, out, err) = cat(dir);
    if !matches!(exit, Exit::Ok | Exit::Loss | Exit::Damaged) {
        return Err(format!("it ends with {}: {err}", exit.code()).into());
    }
    Ok(Reading { messages: out.lines().map(str::to_owned).collect(), told: exit != Exit::Ok })
}

/// Prints the messages of a journal as the command does.
fn cat(path: &Path) -> (Exit, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let path = path.to_string_lossy();
    let arguments = ["rollway", "cat", "--pattern", "%m%n", &*path];
    let exit = rollway::cli::run(arguments, &mut out, &mut err);
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (exit, text(&out), text(&err))
}

/// Reads as the outlets of a service that starts with this journal.
fn by_outlet(dir: &Path) -> Result<Reading, Failure> {
    let scan = Scan::of_directory(dir)?;
    let options = JournalOptions::directory(dir).max_bytes(32 << 20);
    let (journal, _writer) = Journal::in_directory(options, scan)?;
    let mut reader = journal.reader(Position::default());
    let (mut messages, mut told) = (Vec::new(), false);
    loop {
        match reader.next() {
            Ok(Some(block)) => {
                let mut events = block.events.events(block.dictionary);
                while let Some(event) = events.next() {
                    let Ok(event) = event else {
                        told = true;
                        continue;
                    };
                    let mut message = String::new();
                    event.message(&mut message);
                    messages.push(message);
                }
            }
            Ok(None) => return Ok(Reading { messages, told }),
            Err(ReadError::Damaged { .. }) => told = true,
            Err(error) => return Err(error.into()),
        }
    }
}

fn unclean(bench: &mut Bench) -> Result<Outcome, Failure> {
    let scene = bench.scene()?;
    let original = Original::new(bench, &scene)?;
    let last = original.blocks.last().ok_or("the original is empty")?.bytes.clone();
    let head = original.blocks.first().ok_or("the original is empty")?.bytes.end as usize;
    let all: Vec<_> = original.messages().cloned().collect();
    let of_head = Vec::new();
    let of_most: Vec<_> = {
        let touched = last.start as usize..last.end as usize;
        original.untouched(std::slice::from_ref(&touched)).cloned().collect()
    };
    let with_tail = |bytes: &[u8], zeroes: usize| [bytes, &vec![0; zeroes]].concat();
    // The archive of the last block is written, its header is not.
    let mut body_only = with_tail(&original.bytes, PAGE_BYTES);
    body_only[last.start as usize..][..64].fill(0);
    let inputs: [(&str, Vec<u8>, &[String]); 6] = [
        ("an end on the byte", original.bytes.clone(), &all),
        ("a tail of zeroes", with_tail(&original.bytes, 4 << 20), &all),
        ("a tail that is no page", with_tail(&original.bytes, 100), &all),
        ("a block without its header", body_only, &of_most),
        ("an empty file", Vec::new(), &of_head),
        ("a head only", with_tail(&original.bytes[..head], PAGE_BYTES), &of_head),
    ];
    let (mut alarms, count) = (0, inputs.len());
    for (name, bytes, messages) in inputs {
        for (reader, read) in &READERS[..3] {
            let dir = scene.memory("unclean");
            fs::create_dir_all(&dir)?;
            fs::write(dir.join(&original.name), &bytes)?;
            let reading = guarded(dir.clone(), *read);
            fs::remove_dir_all(&dir)?;
            let wrong = match &reading {
                Ok(reading) if reading.messages != messages => "other events".to_owned(),
                Ok(reading) if reading.told => "an alarm".to_owned(),
                Ok(_) => continue,
                Err(failure) => failure.to_string(),
            };
            alarms += 1;
            bench.fail(bench.seed, &format!("{name}, {reader}: {wrong}"));
        }
    }
    let figure = format!("{alarms} alarms of {} readings", count * 3);
    Ok(if alarms == 0 { Outcome::Passed(figure) } else { Outcome::Failed(figure) })
}

fn foreign(bench: &mut Bench) -> Result<Outcome, Failure> {
    let scene = bench.scene()?;
    let original = Original::new(bench, &scene)?;
    let changed = |at: usize, byte: u8| {
        let mut bytes = original.bytes.clone();
        for block in &original.blocks {
            bytes[block.bytes.start as usize + at] = byte;
        }
        bytes
    };
    let swapped = {
        let mut bytes = original.bytes.clone();
        for block in &original.blocks {
            let header = &mut bytes[block.bytes.start as usize..][..64];
            header.chunks_exact_mut(4).for_each(<[u8]>::reverse);
        }
        bytes
    };
    let behind = |magic: &[u8]| {
        let mut random = bench.random(bench.seed);
        let noise = (0..8192).map(|_| random.below(256) as u8);
        magic.iter().copied().chain(noise).collect::<Vec<u8>>()
    };
    let text = "2026-01-01 00:00:00 INFO a line of some text log\n".repeat(200).into_bytes();
    let inputs: [(&str, Vec<u8>, &[&str]); 8] = [
        ("a newer version", changed(4, 9), &["version 9", "supports 1"]),
        ("another encoding", changed(7, 3), &["encoding 3", "supports 0"]),
        ("another archive flavour", changed(8, 2), &["flavour 2", "supports 1"]),
        ("another byte order", swapped, &["byte order"]),
        ("gzip", behind(&[0x1f, 0x8b, 8, 0]), &["gzip"]),
        ("zstd", behind(&[0x28, 0xb5, 0x2f, 0xfd]), &["zstd"]),
        ("another product's journal", behind(b"LPKSHHRH"), &["journal"]),
        ("a text file", text, &["text"]),
    ];
    let (mut refused, count) = (0, inputs.len());
    for (name, bytes, words) in inputs {
        let dir = scene.memory("foreign");
        fs::create_dir_all(&dir)?;
        fs::write(dir.join(&original.name), &bytes)?;
        let (exit, out, err) = cat(&dir);
        fs::remove_dir_all(&dir)?;
        if exit != Exit::Ok && out.is_empty() && words.iter().all(|word| err.contains(word)) {
            refused += 1;
        } else {
            let told = err.lines().next().unwrap_or_default();
            let exit = exit.code();
            bench.fail(bench.seed, &format!("{name}: exit code {exit}, told: {told}"));
        }
    }
    let figure = format!("{refused} of {count} refused by name");
    Ok(if refused == count { Outcome::Passed(figure) } else { Outcome::Failed(figure) })
}
