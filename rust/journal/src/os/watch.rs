//! What other processes do to a journal, without asking again and again.
//!
//! A process that records saves its writer file after each sync that had something to do, at most [`crate::SYNC_EVERY`] after an
//! event: that file is watched, and not the segments, so that watching adds nothing to what an append costs. Whoever stores
//! request ids touches `doorbell`.

use std::path::Path;

use crate::Result;

/// What was noticed since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// There may be events that were not ingested.
    pub recorded: bool,
    /// There may be request ids that are new.
    pub rung: bool,
}

/// Watches one journal.
pub struct Watch(imp::Watch);

impl Watch {
    /// Begins to watch the journal in `path`, which has to exist.
    pub fn new(path: &Path) -> Result<Self> {
        imp::Watch::new(path).map(Self)
    }

    /// What becomes readable when there is something to [`Watch::look`] at; `None` where the system has no such thing, and looking
    /// every second or so has to do.
    pub fn descriptor(&self) -> Option<i32> {
        self.0.descriptor()
    }

    /// What has happened since the last look. Never waits.
    pub fn look(&mut self) -> Result<Seen> {
        self.0.look()
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

    use crate::os::watch::{DOORBELL, Seen, WRITER};
    use crate::{Error, Result, layout};

    pub(super) struct Watch {
        inotify: OwnedFd,
        spool: PathBuf,
        of_journal: i32,
        of_spool: i32,
    }

    impl Watch {
        pub(super) fn new(journal: &Path) -> Result<Self> {
            let spool = layout::prepare(journal)?;
            let failed = |path: &Path, error: Errno| Error::io("cannot watch", path)(error.into());
            let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC);
            let inotify = inotify.map_err(|error| failed(journal, error))?;
            let names = WatchFlags::CREATE | WatchFlags::MOVED_TO;
            // Touching a file is one or the other, as one of its times is set or both.
            let touched = WatchFlags::ATTRIB | WatchFlags::MODIFY;
            let of_journal = inotify::add_watch(&inotify, journal, names | touched);
            let of_journal = of_journal.map_err(|error| failed(journal, error))?;
            let of_spool = inotify::add_watch(&inotify, &spool, names).map_err(|error| failed(&spool, error))?;
            // Listed after the directory is watched: a writer that comes in between is seen twice, and not never.
            let listed = std::fs::read_dir(&spool).map_err(Error::io("cannot list", &spool))?;
            let watch = Self { inotify, spool, of_journal, of_spool };
            for entry in listed {
                watch.add_writer(&entry.map_err(Error::io("cannot list", &watch.spool))?.file_name().to_string_lossy());
            }
            Ok(watch)
        }

        #[allow(clippy::unnecessary_wraps)] // other systems have none
        pub(super) fn descriptor(&self) -> Option<i32> {
            Some(self.inotify.as_raw_fd())
        }

        pub(super) fn look(&mut self) -> Result<Seen> {
            let mut seen = Seen::default();
            let mut buffer = [MaybeUninit::uninit(); 4096];
            let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
            loop {
                let event = match reader.next() {
                    Ok(event) => event,
                    Err(Errno::AGAIN) => return Ok(seen),
                    Err(Errno::INTR) => continue,
                    Err(error) => return Err(Error::io("cannot watch", &self.spool)(error.into())),
                };
                let name = event.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
                if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                    seen = Seen { recorded: true, rung: true };
                } else if event.events().contains(ReadFlags::IGNORED) {
                    // A dead writer's file is gone.
                } else if event.wd() == self.of_journal {
                    seen.rung |= name == DOORBELL;
                } else if event.wd() == self.of_spool {
                    seen.recorded |= self.add_writer(&name);
                } else {
                    seen.recorded = true;
                }
            }
        }

        /// Watches a writer's file; false when the name is not one's. One that is gone already has nothing to tell.
        fn add_writer(&self, name: &str) -> bool {
            let is_writer = name.ends_with(WRITER);
            if is_writer {
                let _ = inotify::add_watch(&self.inotify, self.spool.join(name), WatchFlags::MODIFY);
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

    use crate::os::watch::{DOORBELL, Seen, WRITER};
    use crate::{Error, Result, layout};

    pub(super) struct Watch {
        journal: PathBuf,
        spool: PathBuf,
        writers: BTreeMap<OsString, Option<SystemTime>>,
        rung: Option<SystemTime>,
    }

    impl Watch {
        pub(super) fn new(journal: &Path) -> Result<Self> {
            let spool = layout::prepare(journal)?;
            let mut watch = Self { journal: journal.to_path_buf(), spool, writers: BTreeMap::new(), rung: None };
            watch.look()?;
            Ok(watch)
        }

        #[allow(clippy::unused_self)] // as where there is one
        pub(super) fn descriptor(&self) -> Option<i32> {
            None
        }

        pub(super) fn look(&mut self) -> Result<Seen> {
            let rung = std::fs::metadata(self.journal.join(DOORBELL)).and_then(|meta| meta.modified()).ok();
            let mut writers = BTreeMap::new();
            for entry in std::fs::read_dir(&self.spool).map_err(Error::io("cannot list", &self.spool))? {
                let entry = entry.map_err(Error::io("cannot list", &self.spool))?;
                if entry.file_name().to_string_lossy().ends_with(WRITER) {
                    writers.insert(entry.file_name(), entry.metadata().and_then(|meta| meta.modified()).ok());
                }
            }
            let seen = Seen { recorded: writers != self.writers, rung: rung != self.rung };
            (self.writers, self.rung) = (writers, rung);
            Ok(seen)
        }
    }
}
