//! Collecting what a damaged store still holds. Whatever is taken proved itself by a checksum of its own.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::pages::{Entry, Page, Pages};
use crate::frame::array;
use crate::store::callbacks::Entry as Callback;
use crate::store::row::StateRow;
use crate::store::tables::{label_value, tail_seq, unsealed};
use crate::store::{dictionary, payload};
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
    pub(super) ids: BTreeMap<u64, RecordId>,
    pub(super) bodies: HashMap<(u64, u8), Place>,
    /// Request id and when it came, as stored.
    pub(super) acks: HashMap<u64, [u8; 16]>,
    pub(super) labels: HashMap<u64, Vec<Vec<u8>>>,
    /// (sink, record) -> entry.
    pub(super) callbacks: HashMap<(u32, u64), Vec<u8>>,
    pub(super) sinks: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) meta: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Pages and entries that could not be read.
    pub(super) damaged: u64,
}

/// Reads what the newest commit reaches. If that is not whole, also what stands in other pages: copies that earlier commits left,
/// and trees whose upper pages are lost.
pub(super) fn gather(pages: &Pages) -> Found {
    let mut found = Found::default();
    let mut seen = HashSet::new();
    let mut trees: Vec<(Vec<u8>, u64)> = Vec::new();
    let no_trees = pages.root().is_none_or(|root| {
        visit(pages, root, &mut seen, &mut found, &mut |_, _, _, entry| {
            trees.extend(entry.tree.map(|root| (entry.key.clone(), root)));
        });
        trees.is_empty()
    });
    found.damaged += u64::from(no_trees);
    // Dictionaries first: bodies are checked with them.
    trees.sort_by_key(|(name, _)| name != b"meta");
    for (name, root) in &trees {
        visit(pages, *root, &mut seen, &mut found, &mut |found, page, at, entry| {
            if found.take(name, Place { page, entry: at }, entry).is_none() {
                found.damaged += 1;
            }
        });
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
            b"state" => _ = self.rows.insert(seq(key)?, StateRow::decode(value).ok()?),
            b"ids" => _ = self.ids.insert(seq(value)?, RecordId(*key.first_chunk::<16>()?)),
            b"records" => {
                self.body(value).ok()?;
                self.bodies.insert((seq(&key[..8.min(key.len())])?, *key.get(8)?), place);
            }
            b"acks" => _ = self.acks.insert(seq(key)?, *unsealed(key, value)?.first_chunk()?),
            b"labels" => {
                let number = tail_seq(value).ok()?;
                (label_value(key, number)[..] == *value).then_some(())?;
                self.labels.entry(number).or_default().push(key.to_vec());
            }
            b"callbacks" => {
                Callback::decode(value).ok()?;
                let key: [u8; 12] = key.try_into().ok()?;
                let number = u64::from_be_bytes(array(&key, 4));
                self.callbacks.insert((u32::from_be_bytes(array(&key, 0)), number), value.to_vec());
            }
            b"sinks" => _ = self.sinks.insert(key.to_vec(), value.to_vec()),
            // Work lists, indexes and cursors are made anew.
            _ => {}
        }
        Some(())
    }

    /// Takes an entry of a page that no tree leads to, if it fills a gap. What tree it belonged to shows by its shape, and by the
    /// checksum that must be right. Of a row's earlier copies the newest counts.
    fn take_if_missing(&mut self, reached: &HashSet<u64>, place: Place, entry: &Entry) {
        let (key, Some(value)) = (&entry.key[..], entry.value.as_deref()) else { return };
        if let Some(number) = seq(key) {
            if let Ok(row) = StateRow::decode(value) {
                let newer = self.rows.get(&number).is_none_or(|known| known.changed_at <= row.changed_at);
                if newer && !reached.contains(&number) {
                    self.rows.insert(number, row);
                }
            } else if let Some(ack) = unsealed(key, value).and_then(|ack| ack.first_chunk().copied()) {
                self.acks.entry(number).or_insert(ack);
            }
        } else if key.len() == 9 && key[8] <= 1 {
            let at = (u64::from_be_bytes(array(key, 0)), key[8]);
            if !self.bodies.contains_key(&at) && self.body(value).is_ok() {
                self.bodies.insert(at, place);
            }
        } else if key.len() == 16 && key[6] >> 4 == 7 {
            if let Some(number) = seq(value) {
                self.ids.entry(number).or_insert(RecordId(array(key, 0)));
            }
        } else if value.len() == 12
            && let Ok(number) = tail_seq(value)
            && label_value(key, number)[..] == *value
        {
            let labels = self.labels.entry(number).or_default();
            if !labels.iter().any(|label| label == key) {
                labels.push(key.to_vec());
            }
        } else if key.starts_with(b"dict/") || key == b"quota" {
            self.meta.entry(key.to_vec()).or_insert_with(|| value.to_vec());
        }
    }

    /// A stored body as it was recorded.
    pub(super) fn body(&self, stored: &[u8]) -> Result<Vec<u8>> {
        payload::decode_with(stored, |number| {
            let kept = self.meta.get(&dictionary::key(number)).cloned();
            kept.ok_or_else(|| Error::Corrupt(format!("dictionary {number} is lost")))
        })
    }

    /// The stored form of a body, read again.
    pub(super) fn stored(&self, pages: &Pages, number: u64, part: u8) -> Option<Vec<u8>> {
        let place = self.bodies.get(&(number, part))?;
        let Some(Page::Leaf(mut entries)) = pages.page(place.page) else { return None };
        (place.entry < entries.len()).then(|| entries.swap_remove(place.entry).value)?
    }
}

fn seq(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}
