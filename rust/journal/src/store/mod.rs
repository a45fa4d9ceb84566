//! The store: the LMDB side of a journal. Readers open it; recording never does.
//!
//! Every change is one synchronous transaction over data, state and work lists, so these always agree.

pub(crate) mod backup;
pub(crate) mod bundles;
pub(crate) mod callbacks;
pub(crate) mod check;
pub(crate) mod db;
pub(crate) mod digests;
pub(crate) mod followups;
pub(crate) mod forget;
pub(crate) mod ingest;
pub(crate) mod outbox;
pub(crate) mod query;
pub(crate) mod records;
pub(crate) mod servers;
pub(crate) mod stats;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, Weak};

use crate::mutex::lock;
use crate::os::gate::Purpose;
use crate::os::{fork, network_fs};
use crate::{Error, Millis, Result, layout};
use db::env::Db;
use db::stamp::Stamp;

/// An open journal. Clones, and stores opened on the same path in one process, share one environment.
#[derive(Clone)]
pub struct Store {
    shared: Arc<OpenStore>,
}

struct OpenStore {
    path: PathBuf,
    db: Db,
    /// How long records wait for the end of their tree's root, in milliseconds.
    tree_wait: AtomicU64,
}

/// The open stores by path: LMDB must not open one file twice in a process.
static OPEN: Mutex<Option<HashMap<PathBuf, Weak<OpenStore>>>> = Mutex::new(None);

impl Store {
    /// Opens the journal in `path`; with `create`, makes it when there is none. Refuses network file systems.
    pub fn open(path: &Path, create: bool) -> Result<Self> {
        network_fs::refuse(path)?;
        Self::open_on_any_fs(path, create)
    }

    /// Like [`Self::open`], on any file system. The caller must know that no other machine uses the journal.
    pub fn open_on_any_fs(path: &Path, create: bool) -> Result<Self> {
        if create {
            layout::prepare(path, Purpose::Look)?;
        } else {
            layout::verify(path, Purpose::Look)?;
        }
        let path = path.canonicalize().map_err(Error::io("cannot open", path))?;
        let _guard = fork::enter()?;
        let mut open = lock(&OPEN);
        let open = open.get_or_insert_default();
        if let Some(shared) = open.get(&path).and_then(Weak::upgrade) {
            return Ok(Self { shared });
        }
        open.retain(|_, shared| shared.strong_count() > 0);
        let shared = Arc::new(OpenStore {
            db: Db::open(&path)?,
            path: path.clone(),
            tree_wait: AtomicU64::new((Millis::EPOCH + outbox::TREE_WAIT).0),
        });
        open.insert(path, Arc::downgrade(&shared));
        Ok(Self { shared })
    }

    /// Verifies every page of the newest store in `journal`, and makes a new stamp. Opening a store only does so when another program
    /// has written to it; a disk changes bytes without a write. Where there is no journal, there is nothing to verify.
    pub fn verify_pages(journal: &Path) -> Result<()> {
        match layout::verify(journal, Purpose::Look) {
            Err(Error::NotFound(_)) => return Ok(()),
            verified => verified?,
        }
        let newest = layout::list_lmdb(journal)?.pop();
        newest.map_or(Ok(()), |number| Stamp::verify_always(&layout::lmdb(journal, number)))
    }

    /// The journal's directory.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    pub(crate) fn db(&self) -> &Db {
        &self.shared.db
    }
}
