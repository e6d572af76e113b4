//! What is counted while a journal is read.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::recover::CursorBehind;
use super::watch::Watch;
use crate::event::{Event, SiteInfo};
use crate::journal::{Finding, Reads, SegmentSummary, SurveyedBlock};
use crate::level::Level;
use crate::value::{Scalar, Value};

/// Call sites, and categories, that are counted one by one. What comes beyond them is counted
/// together.
const NAMES_MAX: usize = 65_536;
/// Seconds of the last minute.
const MINUTE: i64 = 60;
const SECOND_NS: i64 = 1_000_000_000;

/// Counts what it is shown.
pub(super) struct Tally<'a, 'w> {
    pub(super) counts: Counts,
    watch: &'a mut Watch<'w>,
    /// The places in the counts of sites that were looked up, by their numbers.
    known_sites: HashMap<u64, Option<usize>>,
}

/// What was counted.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) segments: u64,
    pub(super) blocks: u64,
    pub(super) events: u64,
    /// Of blocks of events.
    pub(super) bytes: u64,
    /// Nanoseconds since 1970-01-01 UTC.
    pub(super) first_ns: Option<i64>,
    pub(super) last_ns: Option<i64>,
    /// By reason, as the log itself says.
    pub(super) dropped: BTreeMap<String, u64>,
    /// Events of call sites beyond those that are counted one by one.
    pub(super) other_sites: u64,
    pub(super) cursors: Vec<CursorBehind>,
    runs: HashSet<(u128, u64)>,
    /// By number.
    levels: BTreeMap<u8, u64>,
    site_places: HashMap<SiteKey, usize>,
    sites: Vec<u64>,
    /// By second, no more than the last minute's.
    seconds: BTreeMap<i64, u64>,
}

/// What tells one call site from another, whichever process it is in.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct SiteKey {
    pub(super) template: String,
    pub(super) category: String,
    pub(super) file: String,
    pub(super) line: u32,
    pub(super) level: &'static str,
}

impl<'a, 'w> Tally<'a, 'w> {
    pub(super) fn new(cursors: Vec<CursorBehind>, watch: &'a mut Watch<'w>) -> Tally<'a, 'w> {
        Tally {
            counts: Counts { cursors, ..Counts::default() },
            watch,
            known_sites: HashMap::new(),
        }
    }

    pub(super) fn segment(&mut self, summary: &SegmentSummary) {
        let counts = &mut self.counts;
        counts.segments += 1;
        counts.first_ns = counts.first_ns.into_iter().chain(summary.first_ns).min();
        counts.last_ns = counts.last_ns.max(summary.last_ns);
    }
}

impl Reads for Tally<'_, '_> {
    fn event(&mut self, event: &Event<'_>) {
        let number = event.site.number();
        let place = match self.known_sites.get(&number) {
            Some(place) => *place,
            None => {
                // Sites that stand in their records have a new number now and then.
                if self.known_sites.len() >= NAMES_MAX {
                    self.known_sites.clear();
                }
                let place = self.counts.site(event.site);
                self.known_sites.insert(number, place);
                place
            }
        };
        let counts = &mut self.counts;
        counts.events += 1;
        match place {
            Some(place) => counts.sites[place] += 1,
            None => counts.other_sites += 1,
        }
        *counts.levels.entry(event.level.number()).or_default() += 1;
        counts.second(event.time_ns / SECOND_NS);
        counts.drops(event);
    }

    fn block(&mut self, block: &SurveyedBlock<'_>) {
        let counts = &mut self.counts;
        counts.blocks += 1;
        counts.bytes += block.header.bytes() as u64;
        counts.runs.insert((block.header.source, block.header.epoch));
        counts.cursors.iter_mut().for_each(|cursor| cursor.add(block));
    }

    fn finding(&mut self, finding: Finding) {
        self.watch.finding(finding);
    }

    fn progress(&mut self, bytes: u64) {
        self.watch.progress(bytes);
    }
}

impl Counts {
    pub(super) fn runs(&self) -> usize {
        self.runs.len()
    }

    /// Counts by level, the least grave first.
    pub(super) fn levels(&self) -> Vec<(&'static str, u64)> {
        let mut levels: Vec<(&str, u64)> = Vec::new();
        for (number, count) in &self.levels {
            let name = Level::from_number(*number).map_or("", Level::name);
            match levels.last_mut() {
                Some((last, sum)) if *last == name => *sum += count,
                _ => levels.push((name, *count)),
            }
        }
        levels
    }

    /// The call sites with most events.
    pub(super) fn sites(&self, top: usize) -> Vec<(&SiteKey, u64)> {
        let sites = self.site_places.iter().map(|(site, place)| (site, self.sites[*place]));
        most(sites.collect(), top, |one, other| {
            (&one.file, one.line, &one.template).cmp(&(&other.file, other.line, &other.template))
        })
    }

    /// The categories with most events, as far as their call sites are counted one by one.
    pub(super) fn categories(&self, top: usize) -> Vec<(&str, u64)> {
        let mut categories: HashMap<&str, u64> = HashMap::new();
        for (site, place) in &self.site_places {
            *categories.entry(&site.category).or_default() += self.sites[*place];
        }
        most(categories.into_iter().collect(), top, |one, other| one.cmp(other))
    }

    /// The part of all events, from 0 to 1.
    pub(super) fn share(&self, events: u64) -> f64 {
        if self.events == 0 { 0.0 } else { events as f64 / self.events as f64 }
    }

    /// From the first event to the last.
    pub(super) fn seconds(&self) -> f64 {
        let span = self.first_ns.zip(self.last_ns).map_or(0, |(first, last)| last - first);
        span as f64 / SECOND_NS as f64
    }

    /// A rate over that time; 0 where there is none.
    pub(super) fn per_second(&self, count: u64) -> f64 {
        let seconds = self.seconds();
        if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
    }

    /// Events of the last minute before the last event.
    pub(super) fn last_minute(&self) -> u64 {
        self.seconds.values().sum()
    }

    fn site(&mut self, site: &SiteInfo) -> Option<usize> {
        let key = SiteKey {
            template: site.template.text().to_owned(),
            category: site.category.to_string(),
            file: site.file.to_string(),
            line: site.line,
            level: site.level.name(),
        };
        let place = self.sites.len();
        match self.site_places.get(&key) {
            Some(place) => Some(*place),
            None if place < NAMES_MAX => {
                self.site_places.insert(key, place);
                self.sites.push(0);
                Some(place)
            }
            None => None,
        }
    }

    fn second(&mut self, second: i64) {
        let newest = self.seconds.last_key_value().map_or(second, |(newest, _)| *newest);
        if second + MINUTE <= newest {
            return;
        }
        *self.seconds.entry(second).or_default() += 1;
        if second > newest {
            self.seconds = self.seconds.split_off(&(second - MINUTE + 1));
        }
    }

    /// Takes in what the engine says about dropped events.
    fn drops(&mut self, event: &Event<'_>) {
        if !crate::engine::tells_of_drops(event.site) {
            return;
        }
        let mut values = event.values;
        let reasons = values.nth(1);
        let Some(Value::Plain(Scalar::Str(reasons))) = reasons else { return };
        for part in reasons.split(", ") {
            let Some((count, reason)) = part.split_once(' ') else { continue };
            if let Ok(count) = count.parse::<u64>() {
                *self.dropped.entry(reason.to_owned()).or_default() += count;
            }
        }
    }
}

/// Those with the greatest counts; equal ones in the order of `by_name`.
fn most<T>(
    mut counted: Vec<(T, u64)>,
    top: usize,
    by_name: impl Fn(&T, &T) -> std::cmp::Ordering,
) -> Vec<(T, u64)> {
    counted.sort_by(|(one, more), (other, less)| less.cmp(more).then_with(|| by_name(one, other)));
    counted.truncate(top);
    counted
}
