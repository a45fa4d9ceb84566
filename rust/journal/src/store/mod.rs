//! The store: the LMDB side of a journal. Whoever reads opens it; recording never does.
//!
//! Every change is one synchronous transaction over data, state and work lists together, so there is no moment at which they disagree.

pub(crate) mod acks;
pub(crate) mod callbacks;
mod candidates;
pub(crate) mod check;
mod clock;
pub(crate) mod compact;
mod counts;
pub(crate) mod dictionary;
mod encoder;
mod env;
pub(crate) mod followups;
pub(crate) mod ingest;
mod lanes;
mod memory;
pub(crate) mod payload;
pub(crate) mod query;
pub(crate) mod retention;
pub(crate) mod row;
pub(crate) mod sinks;
pub(crate) mod stats;
mod sync;
pub(crate) mod tables;
pub(crate) mod transition;
mod upgrade;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::{Error, Result, layout, network, unforked};
use env::Db;

/// An open journal. Clones, and stores opened on the same path in one process, share one environment.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    db: Db,
}

/// LMDB must not open one file twice in a process.
static OPEN: Mutex<Option<HashMap<PathBuf, Weak<Shared>>>> = Mutex::new(None);

impl Store {
    /// Opens the journal in `path`; with `create`, makes it when there is none. Refuses network file systems.
    pub fn open(path: &Path, create: bool) -> Result<Self> {
        network::refuse(path)?;
        Self::open_anyway(path, create)
    }

    /// The same on any file system, for those who know that no other machine uses the journal.
    pub fn open_anyway(path: &Path, create: bool) -> Result<Self> {
        if create {
            layout::prepare(path)?;
        } else {
            layout::verify(path)?;
        }
        let path = path.canonicalize().map_err(Error::io("cannot open", path))?;
        let _work = unforked::begin()?;
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let open = open.get_or_insert_default();
        if let Some(shared) = open.get(&path).and_then(Weak::upgrade) {
            return Ok(Self { shared });
        }
        open.retain(|_, shared| shared.strong_count() > 0);
        let shared = Arc::new(Shared { db: Db::open(&path)?, path: path.clone() });
        open.insert(path, Arc::downgrade(&shared));
        Ok(Self { shared })
    }

    /// The journal's directory.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    pub(crate) fn db(&self) -> &Db {
        &self.shared.db
    }
}
