//! The starts of the roots whose trees are being ingested.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::frame::Head;
use crate::state::FrameKind;
use crate::store::Store;
use crate::store::db::trees::{PART_START, record_key, tail_seq};
use crate::store::records::base::{Base, may_repeat};
use crate::store::records::body;
use crate::{RecordId, Result, labels};

/// The most starts that are kept, and their bytes in memory.
const MAX: usize = 128;
const MAX_BYTES: usize = 8 << 20;

pub(super) struct Bases {
    store: Store,
    /// `None` for a root without a start that bodies can repeat.
    known: HashMap<RecordId, Option<Arc<Base>>>,
    /// The keys of `known`, the oldest first.
    order: VecDeque<RecordId>,
    bytes: usize,
}

impl Bases {
    pub(super) fn new(store: &Store) -> Self {
        Self { store: store.clone(), known: HashMap::new(), order: VecDeque::new(), bytes: 0 }
    }

    /// The start that the body of this event may repeat. Keeps the event, if it is the start of a root.
    pub(super) fn of(&mut self, head: &Head, section: &[u8], body: &[u8]) -> Option<Arc<Base>> {
        let root = labels::root(section)?;
        if head.kind == FrameKind::RunStart && head.id == root {
            self.keep(root, Base::new(root, body));
            return None;
        }
        if !may_repeat(head.kind, body.len()) {
            return None;
        }
        if !self.known.contains_key(&root) {
            // An earlier ingest stored the root. Without its start, the body is stored by itself.
            let start = self.stored(root).ok().flatten();
            self.keep(root, start.and_then(|start| Base::new(root, &start)));
        }
        self.known.get(&root)?.clone()
    }

    fn keep(&mut self, root: RecordId, base: Option<Base>) {
        self.bytes += base.as_ref().map_or(0, Base::bytes);
        if let Some(earlier) = self.known.insert(root, base.map(Arc::new)) {
            self.bytes -= earlier.map_or(0, |base| base.bytes());
        } else {
            self.order.push_back(root);
        }
        while self.order.len() > MAX || self.bytes > MAX_BYTES {
            let Some(oldest) = self.order.pop_front() else { return };
            self.bytes -= self.known.remove(&oldest).flatten().map_or(0, |base| base.bytes());
        }
    }

    fn stored(&self, root: RecordId) -> Result<Option<Vec<u8>>> {
        self.store.db().read(|txn, trees| {
            let Some(known) = trees.ids.get(txn, &root.0)? else { return Ok(None) };
            let stored = trees.records.get(txn, &record_key(tail_seq(known)?, PART_START))?;
            stored.map(|stored| body::decode(txn, trees, root, PART_START, stored)).transpose()
        })
    }
}
