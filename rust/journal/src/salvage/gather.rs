//! Gathers the intact entries of a damaged store. Each entry is verified by its own checksum.

use std::collections::HashSet;

use super::entries::{Location, SalvagedEntries};
use crate::frame::array;
use crate::ids::SinkId;
use crate::store::bundles::carried::CarriedEntry;
use crate::store::callbacks::{CallbackEntry, sinks};
use crate::store::db::pages::{Page, PageEntry, Pages};
use crate::store::db::trees::{FAILURES_COUNTED, PART_END, PART_START, sealed_seq, tail_seq, without_seal};
use crate::store::digests::{self, BLOCK};
use crate::store::followups::queue::Queue;
use crate::store::followups::{FollowUpEntry, FollowUpKey, SentEntry};
use crate::store::outbox::ack_order;
use crate::store::records::row::{Ack, StateRow};
use crate::store::records::{body, quota};
use crate::store::servers::{self, Server, elsewhere};
use crate::{RecordId, Seq};

/// Gathers the entries of the newest commit. If it is damaged, also the entries of all other pages: copies of earlier commits, and
/// trees whose upper pages are lost.
pub(super) fn gather(pages: &Pages) -> SalvagedEntries {
    let mut found = SalvagedEntries::default();
    let mut visited = HashSet::new();
    let mut trees: Vec<(Vec<u8>, u64)> = Vec::new();
    let (root, is_newest) = pages.root().unzip();
    if let Some(root) = root {
        visit(pages, root, &mut visited, &mut found, &mut |_, _, _, entry| {
            trees.extend(entry.tree.map(|root| (entry.key.clone(), root)));
        });
    }
    found.is_newest = is_newest == Some(true);
    found.damaged += u64::from(trees.is_empty() || !found.is_newest);
    // Dictionaries first: bodies are checked with them.
    trees.sort_by_key(|(name, _)| name != b"meta");
    for (name, root) in &trees {
        let before = found.damaged;
        visit(pages, *root, &mut visited, &mut found, &mut |found, page, at, entry| {
            if found.take(name, Location { page, entry: at }, entry).is_none() {
                found.damaged += 1;
            }
        });
        if found.damaged == before {
            found.whole.insert(name.clone());
        }
    }
    if found.damaged > 0 {
        let reached = Reached {
            rows: found.rows.keys().copied().collect(),
            followups: found.followups.keys().copied().collect(),
        };
        for number in (2..pages.count).filter(|number| !visited.contains(number)) {
            let Some(Page::Leaf(entries)) = pages.page(number) else { continue };
            for (at, entry) in entries.iter().enumerate() {
                found.take_if_missing(&reached, Location { page: number, entry: at }, entry);
            }
        }
    }
    // A page of an earlier commit may have a follow-up as it waited.
    found.followups.retain(|key, _| !found.sent_followups.contains_key(key));
    found
}

/// The entries that a tree leads to.
struct Reached {
    rows: HashSet<Seq>,
    followups: HashSet<FollowUpKey>,
}

type Visit<'v> = dyn FnMut(&mut SalvagedEntries, u64, usize, &PageEntry) + 'v;

fn visit(pages: &Pages, root: u64, visited: &mut HashSet<u64>, found: &mut SalvagedEntries, take: &mut Visit) {
    let mut left = vec![root];
    while let Some(number) = left.pop() {
        // An empty tree has no root; LMDB marks it by all ones.
        if number == u64::MAX {
            continue;
        }
        // A page with two parents belongs to one of them at most.
        if !visited.insert(number) {
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
                // Its entries may still be readable one by one.
                visited.remove(&number);
            }
        }
    }
}

impl SalvagedEntries {
    /// Takes an entry of a named tree; `None` when the entry is damaged.
    fn take(&mut self, tree: &[u8], location: Location, entry: &PageEntry) -> Option<()> {
        let (key, value) = (&entry.key[..], entry.value.as_deref()?);
        match tree {
            b"meta" => _ = self.meta.insert(key.to_vec(), value.to_vec()),
            b"state" => _ = self.rows.insert(seq(key)?, StateRow::decode(seq(key)?, value).ok()?),
            b"ids" => {
                let id = RecordId(key.try_into().ok()?);
                self.ids.insert(sealed_target(key, value)?, id);
            }
            b"records" => {
                let at = (seq(key.get(..8)?)?, *key.get(8)?);
                (body::part_of(value) == Some(at.1)).then_some(())?;
                self.may_be_whole(value).then_some(())?;
                self.bodies.entry(at).or_default().push(location);
            }
            b"acks" => _ = self.acks.insert(seq(key)?, Ack::read(without_seal(key, value)?)?),
            b"ack_order" => _ = self.ack_order.insert(seq(key)?.0, sealed_target(key, value)?),
            b"positions" => {
                let sink = SinkId(u32::from_be_bytes(key.try_into().ok()?));
                self.positions.insert(sink, ack_order::read_position(key, value).ok()?);
            }
            b"servers" => {
                let server = Server::read(key, value)?;
                self.servers.insert(server.id, server);
            }
            b"elsewhere" => _ = self.elsewhere.insert(seq(key)?, elsewhere::read(key, value)?),
            b"carried" | b"bundles" | b"bundle_rows" | b"hubs" | b"returns" => self.bundles.take(tree, key, value)?,
            b"labels" => {
                let target = sealed_target(key, value)?;
                self.labels.entry(target).or_default().push(key.to_vec());
            }
            b"callbacks" => {
                let at = callback(key)?;
                self.callbacks.insert(at, CallbackEntry::decode(key, value).ok()?);
            }
            b"followups" => {
                let (key, entry) = followup(key, value)?;
                self.followups.insert(key, entry);
            }
            b"followups_sent" => {
                let (key, entry) = sent_followup(key, value)?;
                self.sent_followups.insert(key, entry);
            }
            b"cursors" => {
                let (writer, segment) = (key.first_chunk::<16>()?, key.get(16..)?.try_into().ok()?);
                let segment = u32::from_be_bytes(segment);
                // The entry that marks a dead writer's failures as counted has no value.
                if let Some(offset) = without_seal(key, value).and_then(|value| value.first_chunk()) {
                    self.cursors.insert((RecordId(*writer), segment), u64::from_le_bytes(*offset));
                } else if segment != FAILURES_COUNTED {
                    return None;
                }
            }
            b"sinks" => {
                let (name, number) = sinks::read(key, value)?;
                self.sinks.insert(number, name);
            }
            b"digests" => {
                let block = seq(key)?.0;
                (value.len() == BLOCK).then_some(())?;
                self.digests.insert(block, value.to_vec());
            }
            b"digest_names" => {
                let (kind, name, id) = digests::read_name(key, value)?;
                self.digest_names.insert((kind, id), name);
            }
            // Work lists and indexes are rebuilt.
            _ => {}
        }
        Some(())
    }

    /// Takes an entry of a page that no tree leads to, if it fills a gap. The checksum that matches shows the entry's tree. Of several
    /// copies of a row, the newest is taken.
    fn take_if_missing(&mut self, reached: &Reached, location: Location, entry: &PageEntry) {
        let (key, Some(value)) = (&entry.key[..], entry.value.as_deref()) else { return };
        if let Some((name, number)) = sinks::read(key, value) {
            self.sinks.entry(number).or_insert(name);
        } else if let Some((kind, name, id)) = digests::read_name(key, value) {
            if self.has_gaps(b"digest_names") {
                self.digest_names.entry((kind, id)).or_insert(name);
            }
        } else if let Some(number) = seq(key) {
            if let Ok(row) = StateRow::decode(number, value) {
                let newer = self.rows.get(&number).is_none_or(|known| known.changed_at <= row.changed_at);
                if newer && !reached.rows.contains(&number) {
                    self.rows.insert(number, row);
                    self.orphan_rows.insert(number);
                }
            } else if value.len() == BLOCK {
                if self.has_gaps(b"digests") {
                    self.digests.entry(number.0).or_insert_with(|| value.to_vec());
                }
            } else if let Some(ack) = without_seal(key, value).and_then(Ack::read) {
                self.acks.entry(number).or_insert(ack);
            } else if let Some(server) = elsewhere::read(key, value) {
                self.elsewhere.entry(number).or_insert(server);
            } else if let Some(hubs) = CarriedEntry::read(key, value) {
                self.bundles.carried.entry(number).or_insert(hubs);
            } else if let Some(record) = sealed_target(key, value) {
                self.ack_order.entry(number.0).or_insert(record);
            }
        } else if key.len() == 9 && matches!(key[8], PART_START | PART_END) {
            let at = (Seq(u64::from_be_bytes(array(key, 0))), key[8]);
            if body::part_of(value) == Some(at.1) && self.may_be_whole(value) {
                self.bodies.entry(at).or_default().push(location);
            }
        } else if let Some(number) = sealed_target(key, value) {
            if let Ok(id) = key.try_into() {
                self.ids.entry(number).or_insert(RecordId(id));
            } else {
                let labels = self.labels.entry(number).or_default();
                if !labels.iter().any(|label| label == key) {
                    labels.push(key.to_vec());
                }
            }
        } else if let (4, Ok(position)) = (key.len(), ack_order::read_position(key, value)) {
            // The lowest of several, so that no ack is skipped.
            let known = self.positions.entry(SinkId(u32::from_be_bytes(array(key, 0)))).or_insert(position);
            *known = position.min(*known);
        } else if let Some(server) = Server::read(key, value) {
            self.servers.entry(server.id).or_insert(server);
        } else if let Some(at) = callback(key)
            && self.has_gaps(b"callbacks")
            && let Ok(entry) = CallbackEntry::decode(key, value)
        {
            self.callbacks.entry(at).or_insert(entry);
        } else if let Some((key, entry)) = followup(key, value) {
            if self.has_gaps(b"followups") {
                self.followups.entry(key).or_insert(entry);
            }
        } else if let Some((key, entry)) = sent_followup(key, value) {
            if self.has_gaps(b"followups_sent") && !reached.followups.contains(&key) {
                self.sent_followups.entry(key).or_insert(entry);
            }
        } else if key.starts_with(b"dict/") || [quota::KEY, servers::BOUND, servers::SECRET].contains(&key) {
            self.meta.entry(key.to_vec()).or_insert_with(|| value.to_vec());
        }
    }
}

fn seq(bytes: &[u8]) -> Option<Seq> {
    bytes.try_into().ok().map(u64::from_be_bytes).map(Seq)
}

/// The record that an entry of an index leads to, if its seal is right.
fn sealed_target(key: &[u8], value: &[u8]) -> Option<Seq> {
    let seq = tail_seq(value).ok()?;
    (sealed_seq(key, seq)[..] == *value).then_some(seq)
}

/// The sink and the record in a key of the callback queue.
fn callback(key: &[u8]) -> Option<(SinkId, Seq)> {
    let key: &[u8; 12] = key.try_into().ok()?;
    Some((SinkId(u32::from_be_bytes(array(key, 0))), Seq(u64::from_be_bytes(array(key, 4)))))
}

/// A follow-up and its key, if its seal is right.
fn followup(key: &[u8], value: &[u8]) -> Option<(FollowUpKey, FollowUpEntry)> {
    Queue::of(key)?;
    Some((key.try_into().ok()?, FollowUpEntry::decode(key, value).ok()?))
}

/// A sent follow-up and its key, if its seal is right.
fn sent_followup(key: &[u8], value: &[u8]) -> Option<(FollowUpKey, SentEntry)> {
    Queue::of(key)?;
    Some((key.try_into().ok()?, SentEntry::decode(key, value).ok()?))
}
