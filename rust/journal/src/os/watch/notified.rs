//! The watch of Linux, by inotify.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use crate::os::watch::changes::{Changes, DOORBELL, WRITER};
use crate::{Error, Result};

pub(super) struct Watch {
    inotify: OwnedFd,
    spool: PathBuf,
    of_journal: i32,
    of_spool: i32,
}

impl Watch {
    pub(super) fn new(journal: &Path, spool: &Path) -> Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC);
        let inotify = inotify.map_err(|error| failed(journal, error))?;
        let names = WatchFlags::CREATE | WatchFlags::MOVED_TO;
        // Touching a file is MODIFY or ATTRIB, depending on which of its times are set.
        let touched = WatchFlags::ATTRIB | WatchFlags::MODIFY;
        let of_journal = inotify::add_watch(&inotify, journal, names | touched);
        let of_journal = of_journal.map_err(|error| failed(journal, error))?;
        let of_spool = inotify::add_watch(&inotify, spool, names).map_err(|error| failed(spool, error))?;
        // Listed after the watch starts: a writer that is added in between is seen twice instead of never.
        let listed = std::fs::read_dir(spool).map_err(Error::io("cannot list", spool))?;
        let watch = Self { inotify, spool: spool.to_path_buf(), of_journal, of_spool };
        for entry in listed {
            watch.add_writer(&entry.map_err(Error::io("cannot list", &watch.spool))?.file_name().to_string_lossy())?;
        }
        Ok(watch)
    }

    pub(super) fn descriptor(&self) -> i32 {
        self.inotify.as_raw_fd()
    }

    /// `None` when changes can be missed from now on.
    pub(super) fn poll(&self) -> Option<Changes> {
        let mut changes = Changes::default();
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => return Some(changes),
                Err(Errno::INTR) => continue,
                Err(_) => return None,
            };
            let name = event.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                changes = Changes { events: true, doorbell: true };
            } else if event.events().contains(ReadFlags::IGNORED) {
                // A dead writer's file was removed.
            } else if event.wd() == self.of_journal {
                changes.doorbell |= name == DOORBELL;
            } else if event.wd() == self.of_spool {
                changes.events |= name.ends_with(WRITER);
                self.add_writer(&name).ok()?;
            } else {
                changes.events = true;
            }
        }
    }

    /// Watches the file if it is a writer's. Fails when the system has no watch left.
    fn add_writer(&self, name: &str) -> Result<()> {
        if !name.ends_with(WRITER) {
            return Ok(());
        }
        let path = self.spool.join(name);
        match inotify::add_watch(&self.inotify, &path, WatchFlags::MODIFY | WatchFlags::DONT_FOLLOW) {
            Err(error @ (Errno::NOSPC | Errno::NOMEM)) => Err(failed(&path, error)),
            // A file that is gone already needs no watch, and a file of another user cannot have one.
            _ => Ok(()),
        }
    }
}

fn failed(path: &Path, error: Errno) -> Error {
    Error::io("cannot watch", path)(error.into())
}
