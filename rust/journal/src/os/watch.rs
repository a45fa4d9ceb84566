//! Watches a journal for the changes of other processes.
//!
//! A recording process saves its writer file after each sync that wrote events, at most [`crate::SYNC_EVERY`] after an event. The
//! watch is on that file and not on the segments, so it adds nothing to the cost of an append. A process that stores request ids
//! touches the file `doorbell`.

use std::path::Path;

use crate::Result;

/// Changes since the last poll.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// There may be events that are not ingested yet.
    pub events: bool,
    /// There may be new request ids.
    pub doorbell: bool,
}

/// Watches one journal.
pub struct Watch(imp::Watch);

impl Watch {
    /// Starts to watch the journal in `path`, which must exist.
    pub fn new(path: &Path) -> Result<Self> {
        imp::Watch::new(path).map(Self)
    }

    /// A file descriptor that becomes readable when [`Watch::poll`] has changes to return; `None` on systems without one, where the
    /// caller polls about once a second.
    pub fn descriptor(&self) -> Option<i32> {
        self.0.descriptor()
    }

    /// The changes since the last poll. Never waits.
    pub fn poll(&mut self) -> Result<Changes> {
        self.0.poll()
    }
}

const DOORBELL: &str = "doorbell";
const WRITER: &str = ".lock";

#[cfg(target_os = "linux")]
mod imp {
    use std::mem::MaybeUninit;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::path::{Path, PathBuf};

    use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
    use rustix::io::Errno;

    use super::{Changes, DOORBELL, WRITER};
    use crate::os::gate::Purpose;
    use crate::{Error, Result, layout};

    pub(super) struct Watch {
        inotify: OwnedFd,
        spool: PathBuf,
        of_journal: i32,
        of_spool: i32,
    }

    impl Watch {
        pub(super) fn new(journal: &Path) -> Result<Self> {
            let spool = layout::prepare(journal, Purpose::Look)?;
            let failed = |path: &Path, error: Errno| Error::io("cannot watch", path)(error.into());
            let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC);
            let inotify = inotify.map_err(|error| failed(journal, error))?;
            let names = WatchFlags::CREATE | WatchFlags::MOVED_TO;
            // Touching a file is MODIFY or ATTRIB, depending on which of its times are set.
            let touched = WatchFlags::ATTRIB | WatchFlags::MODIFY;
            let of_journal = inotify::add_watch(&inotify, journal, names | touched);
            let of_journal = of_journal.map_err(|error| failed(journal, error))?;
            let of_spool = inotify::add_watch(&inotify, &spool, names).map_err(|error| failed(&spool, error))?;
            // Listed after the watch starts: a writer that is added in between is seen twice instead of never.
            let listed = std::fs::read_dir(&spool).map_err(Error::io("cannot list", &spool))?;
            let watch = Self { inotify, spool, of_journal, of_spool };
            for entry in listed {
                watch.add_writer(&entry.map_err(Error::io("cannot list", &watch.spool))?.file_name().to_string_lossy());
            }
            Ok(watch)
        }

        #[allow(clippy::unnecessary_wraps)] // other systems have no descriptor
        pub(super) fn descriptor(&self) -> Option<i32> {
            Some(self.inotify.as_raw_fd())
        }

        pub(super) fn poll(&mut self) -> Result<Changes> {
            let mut changes = Changes::default();
            let mut buffer = [MaybeUninit::uninit(); 4096];
            let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
            loop {
                let event = match reader.next() {
                    Ok(event) => event,
                    Err(Errno::AGAIN) => return Ok(changes),
                    Err(Errno::INTR) => continue,
                    Err(error) => return Err(Error::io("cannot watch", &self.spool)(error.into())),
                };
                let name = event.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
                if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                    changes = Changes { events: true, doorbell: true };
                } else if event.events().contains(ReadFlags::IGNORED) {
                    // A dead writer's file was removed.
                } else if event.wd() == self.of_journal {
                    changes.doorbell |= name == DOORBELL;
                } else if event.wd() == self.of_spool {
                    changes.events |= self.add_writer(&name);
                } else {
                    changes.events = true;
                }
            }
        }

        /// Watches a writer's file; false when the name is not a writer's. A file that is gone already needs no watch.
        fn add_writer(&self, name: &str) -> bool {
            let is_writer = name.ends_with(WRITER);
            if is_writer {
                let _ = inotify::add_watch(
                    &self.inotify,
                    self.spool.join(name),
                    WatchFlags::MODIFY | WatchFlags::DONT_FOLLOW,
                );
            }
            is_writer
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use std::collections::BTreeMap;
    use std::ffi::OsString;
    use std::path::{Path, PathBuf};
    use std::time::SystemTime;

    use super::{Changes, DOORBELL, WRITER};
    use crate::os::gate::Purpose;
    use crate::{Error, Result, layout};

    pub(super) struct Watch {
        journal: PathBuf,
        spool: PathBuf,
        writers: BTreeMap<OsString, Option<SystemTime>>,
        doorbell: Option<SystemTime>,
    }

    impl Watch {
        pub(super) fn new(journal: &Path) -> Result<Self> {
            let spool = layout::prepare(journal, Purpose::Look)?;
            let mut watch = Self { journal: journal.to_path_buf(), spool, writers: BTreeMap::new(), doorbell: None };
            watch.poll()?;
            Ok(watch)
        }

        #[allow(clippy::unused_self)] // has the signature of Linux
        pub(super) fn descriptor(&self) -> Option<i32> {
            None
        }

        pub(super) fn poll(&mut self) -> Result<Changes> {
            let doorbell = std::fs::symlink_metadata(self.journal.join(DOORBELL)).and_then(|meta| meta.modified()).ok();
            let mut writers = BTreeMap::new();
            for entry in std::fs::read_dir(&self.spool).map_err(Error::io("cannot list", &self.spool))? {
                let entry = entry.map_err(Error::io("cannot list", &self.spool))?;
                if entry.file_name().to_string_lossy().ends_with(WRITER) {
                    writers.insert(entry.file_name(), entry.metadata().and_then(|meta| meta.modified()).ok());
                }
            }
            let changes = Changes { events: writers != self.writers, doorbell: doorbell != self.doorbell };
            (self.writers, self.doorbell) = (writers, doorbell);
            Ok(changes)
        }
    }
}
