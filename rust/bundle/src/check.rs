//! Checks the members of a bundle in several threads, while another thread reads and decrypts.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, Scope};

use crate::content::{Marked, PackedMember};
use crate::error::Result;
use crate::limits;

/// Members that wait for a thread.
const AHEAD: usize = 4;
/// Most threads beside the reading one.
const THREADS: usize = 3;

/// How many threads are useful beside the calling one.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).saturating_sub(1).min(THREADS)
}

/// Threads that check members.
pub(crate) struct Checks<'scope> {
    members: SyncSender<PackedMember>,
    results: Vec<std::thread::ScopedJoinHandle<'scope, Result<Vec<Marked>>>>,
}

impl<'scope> Checks<'scope> {
    pub(crate) fn begin<'env>(scope: &'scope Scope<'scope, 'env>, threads: usize) -> Self {
        let (members, waiting) = sync_channel(AHEAD);
        let waiting = std::sync::Arc::new(Mutex::new(waiting));
        let spawn = |_| {
            let waiting = std::sync::Arc::clone(&waiting);
            // Without a thread the caller checks.
            Builder::new().spawn_scoped(scope, move || check_all(&waiting)).ok()
        };
        Self { members, results: (0..threads).filter_map(spawn).collect() }
    }

    /// Checks a member now or later; false when each thread has found a fault, which [`Checks::finish`] returns.
    pub(crate) fn add(&self, member: PackedMember, marked: &mut Vec<Marked>) -> Result<bool> {
        // The memory of a large record is taken once, and not by each thread.
        if self.results.is_empty() || member.member.raw > limits::MEMBER as u64 {
            return member.unpack()?.check(marked).map(|()| true);
        }
        Ok(self.members.send(member).is_ok())
    }

    /// Waits for the rest.
    pub(crate) fn finish(self, marked: &mut Vec<Marked>) -> Result<()> {
        drop(self.members);
        for result in self.results {
            marked.extend(result.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(())
    }
}

fn check_all(waiting: &Mutex<Receiver<PackedMember>>) -> Result<Vec<Marked>> {
    let mut marked = Vec::new();
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(member) = next else { return Ok(marked) };
        member.unpack()?.check(&mut marked)?;
    }
}
