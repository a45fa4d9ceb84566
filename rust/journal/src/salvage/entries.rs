//! The intact entries of a damaged store, and queries over them.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};

use crate::ids::{ServerId, SinkId};
use crate::store::bundles::salvage::SalvagedBundles;
use crate::store::callbacks::CallbackEntry;
use crate::store::db::pages::{Page, Pages};
use crate::store::db::trees::{PART_END, PART_START};
use crate::store::digests::{Digest, NameId, NameKind, ROW, place};
use crate::store::followups::{FollowUpEntry, FollowUpKey, SentEntry};
use crate::store::records::compressor::BodyCompressor;
use crate::store::records::row::{Ack, StateRow};
use crate::store::records::{body, dictionary};
use crate::store::servers::Server;
use crate::{Error, RecordId, Result, Seq};

/// The location of a stored body: a leaf page, and the index of an entry in it.
#[derive(Clone, Copy)]
pub(super) struct Location {
    pub(super) page: u64,
    pub(super) entry: usize,
}

/// The entries that were found. Records have the numbers of the damaged store.
#[derive(Default)]
pub(super) struct SalvagedEntries {
    pub(super) rows: BTreeMap<Seq, StateRow>,
    /// Rows of pages that no tree leads to, which may be an earlier state of their record.
    pub(super) orphan_rows: HashSet<Seq>,
    /// Whether the trees belong to the newest commit.
    pub(super) is_newest: bool,
    pub(super) ids: BTreeMap<Seq, RecordId>,
    /// The bodies of a record's part. The key of a body has no checksum, so there may be several, of which one belongs there.
    pub(super) bodies: HashMap<(Seq, u8), Vec<Location>>,
    pub(super) acks: HashMap<Seq, Ack>,
    /// Number of an ack -> record.
    pub(super) ack_order: BTreeMap<u64, Seq>,
    /// Subscribed sink -> number of the last ack it received.
    pub(super) positions: BTreeMap<SinkId, u64>,
    pub(super) labels: HashMap<Seq, Vec<Vec<u8>>>,
    /// (sink, record) -> entry.
    pub(super) callbacks: HashMap<(SinkId, Seq), CallbackEntry>,
    pub(super) followups: BTreeMap<FollowUpKey, FollowUpEntry>,
    pub(super) sent_followups: BTreeMap<FollowUpKey, SentEntry>,
    pub(super) sinks: BTreeMap<SinkId, Vec<u8>>,
    /// The rows of digests, each with a checksum.
    pub(super) digests: HashMap<u64, Vec<u8>>,
    pub(super) digest_names: BTreeMap<(NameKind, NameId), Vec<u8>>,
    pub(super) servers: BTreeMap<ServerId, Server>,
    /// Record in doubt -> the server that it was sent to, if that was not the bound one.
    pub(super) elsewhere: HashMap<Seq, ServerId>,
    pub(super) bundles: SalvagedBundles,
    pub(super) meta: BTreeMap<Vec<u8>, Vec<u8>>,
    /// (writer, segment) -> the offset up to which it was ingested. If the tree is whole, a segment without a cursor was not ingested.
    pub(super) cursors: HashMap<(RecordId, u32), u64>,
    /// Pages and entries that could not be read.
    pub(super) damaged: u64,
    /// The named trees that could be read completely.
    pub(super) whole: HashSet<Vec<u8>>,
    /// The numbers of the records, for bodies that repeat the start of their root.
    numbers: OnceCell<HashMap<RecordId, Seq>>,
    compressor: RefCell<Option<BodyCompressor>>,
    lacks_memory: Cell<bool>,
}

impl SalvagedEntries {
    /// The format number in the store.
    pub(super) fn format(&self) -> Option<u32> {
        self.meta.get(&b"format"[..]).and_then(|value| value.first_chunk()).map(|bytes| u32::from_le_bytes(*bytes))
    }

    /// Fails if a body was not read for lack of memory: a salvage must not take a whole body for a damaged one.
    pub(super) fn require_memory(&self) -> Result<()> {
        if self.lacks_memory.get() { Err(Error::memory()) } else { Ok(()) }
    }

    /// The records that were forgotten.
    pub(super) fn forgotten(&self) -> HashSet<RecordId> {
        let rows = self.rows.iter().filter(|(_, row)| row.is_forgotten());
        rows.filter_map(|(seq, _)| self.ids.get(seq)).copied().collect()
    }

    /// Whether no record was found.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.ids.is_empty() && self.bodies.is_empty()
    }

    /// Whether entries of a tree may be missing. Only then are entries of earlier commits used, which may be outdated.
    pub(super) fn has_gaps(&self, tree: &[u8]) -> bool {
        !self.whole.contains(tree)
    }

    /// Whether a segment without a cursor was certainly not ingested.
    pub(super) fn has_every_cursor(&self) -> bool {
        self.is_newest && !self.has_gaps(b"cursors")
    }

    /// The subscribed sinks whose names are known, each with its position.
    pub(super) fn subscribers(&self) -> impl Iterator<Item = (SinkId, u64)> {
        let known = self.positions.iter().filter(|(sink, _)| self.sinks.contains_key(sink));
        known.map(|(sink, position)| (*sink, *position))
    }

    /// Whether the row of a record may belong to an earlier commit.
    pub(super) fn is_earlier(&self, number: Seq) -> bool {
        !self.is_newest || self.orphan_rows.contains(&number)
    }

    /// The id of the record with this number: from its row, its entry in `ids`, or one of its labels.
    pub(super) fn id(&self, number: Seq) -> Option<RecordId> {
        let label = || self.labels.get(&number)?.iter().find_map(|key| key.last_chunk()).copied();
        let row = self.rows.get(&number).map(|row| row.id);
        row.or_else(|| self.ids.get(&number).copied()).or_else(|| label().map(RecordId))
    }

    /// The stored bodies of a record, start and end, each in a form that repeats no other body. Without an id, the bodies of the record to which the start belongs.
    pub(super) fn stored(&self, pages: &Pages, number: Seq, id: Option<RecordId>) -> [Option<Vec<u8>>; 2] {
        let candidates = |part| {
            let locations = self.bodies.get(&(number, part)).map_or(&[][..], Vec::as_slice);
            let stored = locations.iter().filter_map(move |location| location.read(pages));
            stored.filter_map(move |stored| self.alone(pages, stored))
        };
        if let Some(id) = id {
            return [PART_START, PART_END].map(|part| candidates(part).find(|stored| body::belongs(stored, id, part)));
        }
        let start = candidates(PART_START).next();
        let owner = start.as_deref().and_then(body::owner);
        let end = candidates(PART_END).find(|stored| owner.is_none() || body::owner(stored) == owner);
        [start, end]
    }

    /// The digest of a record, if its names are known.
    pub(super) fn digest(&self, number: Seq) -> Option<Digest> {
        let (block, at) = place(number);
        let mut digest = Digest::decode(number, self.digests.get(&block)?.get(at..at + ROW)?)?;
        for (kind, name) in [(NameKind::Model, &mut digest.model), (NameKind::Provider, &mut digest.provider)] {
            if *name != NameId::default() && !self.digest_names.contains_key(&(kind, *name)) {
                *name = NameId::default();
                digest.is_complete = false;
            }
        }
        Some(digest)
    }

    /// Whether a stored body is whole. One that repeats the start of its root is read when all entries are known.
    pub(super) fn may_be_whole(&self, stored: &[u8]) -> bool {
        body::repeated_root(stored).is_some() || self.body(stored).is_ok()
    }

    /// The body in a stored body that repeats no other.
    pub(super) fn body(&self, stored: &[u8]) -> Result<Vec<u8>> {
        self.decode(stored, |_| Ok(None))
    }

    fn decode(&self, stored: &[u8], start: impl FnOnce(RecordId) -> Result<Option<Vec<u8>>>) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        let dictionary = |number| {
            let kept = self.meta.get(&dictionary::key(number)).cloned();
            kept.ok_or_else(|| Error::Corrupt(format!("dictionary {number} is lost")))
        };
        self.noted(body::decode_with(stored, &mut body, dictionary, start))?;
        Ok(body)
    }

    fn noted<T>(&self, done: Result<T>) -> Result<T> {
        if done.as_ref().is_err_and(Error::lacks_memory) {
            self.lacks_memory.set(true);
        }
        done
    }

    /// A stored body in a form that repeats no other; `None` if the start of its root is lost.
    fn alone(&self, pages: &Pages, stored: Vec<u8>) -> Option<Vec<u8>> {
        if body::repeated_root(&stored).is_none() {
            return Some(stored);
        }
        let body = self.decode(&stored, |root| Ok(self.start_of_root(pages, root))).ok()?;
        let mut compressor = self.compressor.borrow_mut();
        if compressor.is_none() {
            *compressor = self.noted(BodyCompressor::new()).ok();
        }
        let mut alone = Vec::new();
        let encoded = compressor.as_mut()?.encode(RecordId([0; 16]), body::kind(&stored)?, &body, &mut alone);
        self.noted(encoded).ok()?;
        body::assign_as(&mut alone, &stored);
        Some(alone)
    }

    fn start_of_root(&self, pages: &Pages, root: RecordId) -> Option<Vec<u8>> {
        let numbers = self.numbers.get_or_init(|| {
            let of_rows = self.rows.iter().map(|(seq, row)| (row.id, *seq));
            self.ids.iter().map(|(seq, id)| (*id, *seq)).chain(of_rows).collect()
        });
        let locations = self.bodies.get(&(*numbers.get(&root)?, PART_START))?;
        let mut starts = locations.iter().filter_map(|location| location.read(pages));
        starts.find(|start| body::belongs(start, root, PART_START) && self.body(start).is_ok())
    }
}

impl Location {
    fn read(self, pages: &Pages) -> Option<Vec<u8>> {
        let Some(Page::Leaf(mut entries)) = pages.page(self.page) else { return None };
        (self.entry < entries.len()).then(|| entries.swap_remove(self.entry).value)?
    }
}
