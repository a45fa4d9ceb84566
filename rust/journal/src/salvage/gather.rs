//! Collecting what a damaged store still holds. Whatever is taken proved itself by a checksum of its own.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::frame::array;
use crate::store::callbacks::Entry as Callback;
use crate::store::callbacks::sinks;
use crate::store::db::pages::{Entry, Page, Pages};
use crate::store::db::tables::{COUNTED, PART_END, PART_START, sealed_seq, tail_seq, unsealed};
use crate::store::followups::queue::Queue;
use crate::store::followups::{Entry as FollowUp, FollowUpKey};
use crate::store::outbox::ack_order;
use crate::store::records::row::StateRow;
use crate::store::records::{dictionary, payload, retention};
use crate::{Error, RecordId, Result};

/// The place of a stored body: a leaf page, and which of its entries.
#[derive(Clone, Copy)]
pub(super) struct Place {
    page: u64,
    entry: usize,
}

/// What was found, by the numbers that records had.
#[derive(Default)]
pub(super) struct Found {
    pub(super) rows: BTreeMap<u64, StateRow>,
    /// Those of them that stood where no tree leads to, and may be an earlier state of their record.
    pub(super) strays: HashSet<u64>,
    /// Whether what the trees lead to is of the newest commit.
    pub(super) is_newest: bool,
    pub(super) ids: BTreeMap<u64, RecordId>,
    /// Where bodies of a record's part stand. The key of a body has no checksum, so there may be several, of which one belongs.
    pub(super) bodies: HashMap<(u64, u8), Vec<Place>>,
    /// Request id and when it came, as stored.
    pub(super) acks: HashMap<u64, [u8; 16]>,
    /// Number of an ack -> record.
    pub(super) ack_order: BTreeMap<u64, u64>,
    /// Sink -> number of the ack it was given last.
    pub(super) positions: BTreeMap<u32, u64>,
    pub(super) labels: HashMap<u64, Vec<Vec<u8>>>,
    /// (sink, record) -> entry.
    pub(super) callbacks: HashMap<(u32, u64), Callback>,
    pub(super) followups: BTreeMap<FollowUpKey, FollowUp>,
    pub(super) sinks: BTreeMap<u32, Vec<u8>>,
    pub(super) meta: BTreeMap<Vec<u8>, Vec<u8>>,
    /// (writer, segment) -> how far it was taken in. What is missing here was not taken in at all, if the tree is whole.
    pub(super) cursors: HashMap<(RecordId, u32), u64>,
    /// Pages and entries that could not be read.
    pub(super) damaged: u64,
    /// The named trees of which everything could be read.
    whole: HashSet<Vec<u8>>,
}

/// Reads what the newest commit reaches. If that is not whole, also what stands in other pages: copies that earlier commits left,
/// and trees whose upper pages are lost.
pub(super) fn gather(pages: &Pages) -> Found {
    let mut found = Found::default();
    let mut seen = HashSet::new();
    let mut trees: Vec<(Vec<u8>, u64)> = Vec::new();
    let (root, is_newest) = pages.root().unzip();
    if let Some(root) = root {
        visit(pages, root, &mut seen, &mut found, &mut |_, _, _, entry| {
            trees.extend(entry.tree.map(|root| (entry.key.clone(), root)));
        });
    }
    found.is_newest = is_newest == Some(true);
    found.damaged += u64::from(trees.is_empty() || !found.is_newest);
    // Dictionaries first: bodies are checked with them.
    trees.sort_by_key(|(name, _)| name != b"meta");
    for (name, root) in &trees {
        let before = found.damaged;
        visit(pages, *root, &mut seen, &mut found, &mut |found, page, at, entry| {
            if found.take(name, Place { page, entry: at }, entry).is_none() {
                found.damaged += 1;
            }
        });
        if found.damaged == before {
            found.whole.insert(name.clone());
        }
    }
    if found.damaged > 0 {
        let rows: HashSet<u64> = found.rows.keys().copied().collect();
        for number in (2..pages.count).filter(|number| !seen.contains(number)) {
            let Some(Page::Leaf(entries)) = pages.page(number) else { continue };
            for (at, entry) in entries.iter().enumerate() {
                found.take_if_missing(&rows, Place { page: number, entry: at }, entry);
            }
        }
    }
    found
}

type Visit<'v> = dyn FnMut(&mut Found, u64, usize, &Entry) + 'v;

fn visit(pages: &Pages, root: u64, seen: &mut HashSet<u64>, found: &mut Found, take: &mut Visit) {
    let mut left = vec![root];
    while let Some(number) = left.pop() {
        // An empty tree has no root; LMDB marks it by all ones.
        if number == u64::MAX {
            continue;
        }
        // A page that two others lead to belongs to one of them at most.
        if !seen.insert(number) {
            found.damaged += 1;
            continue;
        }
        match pages.page(number) {
            Some(Page::Branch(children)) => left.extend(children.into_iter().rev()),
            Some(Page::Leaf(entries)) => {
                for (at, entry) in entries.iter().enumerate() {
                    take(found, number, at, entry);
                }
            }
            Some(Page::Other) | None => {
                found.damaged += 1;
                // Its entries may be readable on their own.
                seen.remove(&number);
            }
        }
    }
}

impl Found {
    /// Takes an entry of a named tree; `None` when it is not what it should be.
    fn take(&mut self, tree: &[u8], place: Place, entry: &Entry) -> Option<()> {
        let (key, value) = (&entry.key[..], entry.value.as_deref()?);
        match tree {
            b"meta" => _ = self.meta.insert(key.to_vec(), value.to_vec()),
            b"state" => _ = self.rows.insert(seq(key)?, StateRow::decode(seq(key)?, value).ok()?),
            b"ids" => {
                let id = RecordId(key.try_into().ok()?);
                self.ids.insert(numbered(key, value)?, id);
            }
            b"records" => {
                let at = (seq(key.get(..8)?)?, *key.get(8)?);
                (payload::part_of(value) == Some(at.1)).then_some(())?;
                self.body(value).ok()?;
                self.bodies.entry(at).or_default().push(place);
            }
            b"acks" => _ = self.acks.insert(seq(key)?, *unsealed(key, value)?.first_chunk()?),
            b"ack_order" => _ = self.ack_order.insert(seq(key)?, numbered(key, value)?),
            b"positions" => {
                let sink = u32::from_be_bytes(key.try_into().ok()?);
                self.positions.insert(sink, ack_order::read_position(key, value).ok()?);
            }
            b"labels" => {
                let number = numbered(key, value)?;
                self.labels.entry(number).or_default().push(key.to_vec());
            }
            b"callbacks" => {
                let at = callback(key)?;
                self.callbacks.insert(at, Callback::decode(key, value).ok()?);
            }
            b"followups" => {
                let (key, entry) = followup(key, value)?;
                self.followups.insert(key, entry);
            }
            b"cursors" => {
                let (writer, segment) = (key.first_chunk::<16>()?, key.get(16..)?.try_into().ok()?);
                let segment = u32::from_be_bytes(segment);
                // What says that a dead writer's failures are counted has no value.
                if let Some(offset) = unsealed(key, value).and_then(|value| value.first_chunk()) {
                    self.cursors.insert((RecordId(*writer), segment), u64::from_le_bytes(*offset));
                } else if segment != COUNTED {
                    return None;
                }
            }
            b"sinks" => {
                let (name, number) = sinks::read(key, value)?;
                self.sinks.insert(number, name);
            }
            // Work lists and indexes are made anew.
            _ => {}
        }
        Some(())
    }

    /// Takes an entry of a page that no tree leads to, if it fills a gap. What tree it belonged to shows by the checksum that is
    /// right. Of a row's earlier copies the newest counts.
    fn take_if_missing(&mut self, reached: &HashSet<u64>, place: Place, entry: &Entry) {
        let (key, Some(value)) = (&entry.key[..], entry.value.as_deref()) else { return };
        if let Some((name, number)) = sinks::read(key, value) {
            self.sinks.entry(number).or_insert(name);
        } else if let Some(number) = seq(key) {
            if let Ok(row) = StateRow::decode(number, value) {
                let newer = self.rows.get(&number).is_none_or(|known| known.changed_at <= row.changed_at);
                if newer && !reached.contains(&number) {
                    self.rows.insert(number, row);
                    self.strays.insert(number);
                }
            } else if let Some(ack) = unsealed(key, value).and_then(|ack| ack.try_into().ok()) {
                self.acks.entry(number).or_insert(ack);
            } else if let Some(record) = numbered(key, value) {
                self.ack_order.entry(number).or_insert(record);
            }
        } else if key.len() == 9 && matches!(key[8], PART_START | PART_END) {
            let at = (u64::from_be_bytes(array(key, 0)), key[8]);
            if payload::part_of(value) == Some(at.1) && self.body(value).is_ok() {
                self.bodies.entry(at).or_default().push(place);
            }
        } else if let Some(number) = numbered(key, value) {
            if let Ok(id) = key.try_into() {
                self.ids.entry(number).or_insert(RecordId(id));
            } else {
                let labels = self.labels.entry(number).or_default();
                if !labels.iter().any(|label| label == key) {
                    labels.push(key.to_vec());
                }
            }
        } else if let (4, Ok(position)) = (key.len(), ack_order::read_position(key, value)) {
            // The lowest of several: no ack is passed over, whichever commit it was of.
            let known = self.positions.entry(u32::from_be_bytes(array(key, 0))).or_insert(position);
            *known = position.min(*known);
        } else if let Some(at) = callback(key)
            && self.has_gaps(b"callbacks")
            && let Ok(entry) = Callback::decode(key, value)
        {
            self.callbacks.entry(at).or_insert(entry);
        } else if let Some((key, entry)) = followup(key, value) {
            if self.has_gaps(b"followups") {
                self.followups.entry(key).or_insert(entry);
            }
        } else if key.starts_with(b"dict/") || key == retention::KEY {
            self.meta.entry(key.to_vec()).or_insert_with(|| value.to_vec());
        }
    }

    /// The format that the store says it has.
    pub(super) fn format(&self) -> Option<u32> {
        self.meta.get(&b"format"[..]).and_then(|value| value.first_chunk()).map(|bytes| u32::from_le_bytes(*bytes))
    }

    /// Whether there is no trace of any record.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.ids.is_empty() && self.bodies.is_empty()
    }

    /// Whether entries of a work list may be missing. What an earlier commit had of it may be done since, and counts only then.
    fn has_gaps(&self, tree: &[u8]) -> bool {
        !self.whole.contains(tree)
    }

    /// Whether a segment without a cursor was not taken in at all.
    pub(super) fn has_every_cursor(&self) -> bool {
        self.is_newest && !self.has_gaps(b"cursors")
    }

    /// The sinks that are given every ack and whose names are known, each with its position.
    pub(super) fn takers(&self) -> impl Iterator<Item = (u32, u64)> {
        let known = self.positions.iter().filter(|(sink, _)| self.sinks.contains_key(sink));
        known.map(|(sink, position)| (*sink, *position))
    }

    /// Whether the row of a record may be that of an earlier commit.
    pub(super) fn is_earlier(&self, number: u64) -> bool {
        !self.is_newest || self.strays.contains(&number)
    }

    /// The id of the record that had this number: its row, its entry among the ids and each of its labels tell.
    pub(super) fn id(&self, number: u64) -> Option<RecordId> {
        let label = || self.labels.get(&number)?.iter().find_map(|key| key.last_chunk()).copied();
        let row = self.rows.get(&number).map(|row| row.id);
        row.or_else(|| self.ids.get(&number).copied()).or_else(|| label().map(RecordId))
    }

    /// The stored bodies of a record, start and end. Without an id they are those of whichever record its start belonged to.
    pub(super) fn stored(&self, pages: &Pages, number: u64, id: Option<RecordId>) -> [Option<Vec<u8>>; 2] {
        let candidates = |part| {
            let places = self.bodies.get(&(number, part)).map_or(&[][..], Vec::as_slice);
            places.iter().filter_map(move |place| place.read(pages))
        };
        if let Some(id) = id {
            return [PART_START, PART_END]
                .map(|part| candidates(part).find(|stored| payload::belongs(stored, id, part)));
        }
        let start = candidates(PART_START).next();
        let owner = start.as_deref().and_then(payload::owner);
        let end = candidates(PART_END).find(|stored| owner.is_none() || payload::owner(stored) == owner);
        [start, end]
    }

    /// A stored body as it was recorded.
    pub(super) fn body(&self, stored: &[u8]) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        payload::decode_with(stored, &mut body, |number| {
            let kept = self.meta.get(&dictionary::key(number)).cloned();
            kept.ok_or_else(|| Error::Corrupt(format!("dictionary {number} is lost")))
        })?;
        Ok(body)
    }
}

impl Place {
    fn read(self, pages: &Pages) -> Option<Vec<u8>> {
        let Some(Page::Leaf(mut entries)) = pages.page(self.page) else { return None };
        (self.entry < entries.len()).then(|| entries.swap_remove(self.entry).value)?
    }
}

fn seq(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

/// The number that an entry of an index leads to, if its seal is right.
fn numbered(key: &[u8], value: &[u8]) -> Option<u64> {
    let number = tail_seq(value).ok()?;
    (sealed_seq(key, number)[..] == *value).then_some(number)
}

/// The sink and the record of an entry of the callback queue.
fn callback(key: &[u8]) -> Option<(u32, u64)> {
    let key: &[u8; 12] = key.try_into().ok()?;
    Some((u32::from_be_bytes(array(key, 0)), u64::from_be_bytes(array(key, 4))))
}

/// A follow-up with its key, if its seal is right.
fn followup(key: &[u8], value: &[u8]) -> Option<(FollowUpKey, FollowUp)> {
    Queue::of(key)?;
    Some((key.try_into().ok()?, FollowUp::decode(key, value).ok()?))
}
