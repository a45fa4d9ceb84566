//! Runs of trees, appended to a spool.

use plsync_journal::{CallEnd, Event, FrameKind, Head, Lane, RecordId, Spool, labels};

/// The lane of every tree.
pub const LANE: Lane = Lane(9);

/// A run of the tree of `root`: a call, or another run.
#[derive(Clone, Copy)]
pub struct Run {
    pub id: RecordId,
    pub root: RecordId,
    pub is_call: bool,
}

impl Run {
    /// Appends the start of a run; without a root, of a root.
    pub fn start(spool: &Spool, root: Option<RecordId>, is_call: bool) -> Self {
        let id = RecordId::new();
        let run = Self { id, root: root.unwrap_or(id), is_call };
        run.append(spool, [FrameKind::RunStart, FrameKind::Start], CallEnd::No);
        run
    }

    pub fn end(&self, spool: &Spool, ended: CallEnd) {
        self.append(spool, [FrameKind::RunEnd, FrameKind::End], ended);
    }

    fn append(&self, spool: &Spool, kinds: [FrameKind; 2], ended: CallEnd) {
        let kind = kinds[usize::from(self.is_call)];
        let lane = if kind.is_end() { Lane::UNORDERED } else { LANE };
        let mut section = Vec::new();
        labels::push(&mut section, labels::ROOT, &self.root.0);
        labels::push(&mut section, labels::RUN, &self.id.0);
        let head = Head { lane, ended, ..Head::new(kind, self.id) };
        spool.append(&Event { head, labels: &section, body: b"{\"v\":1,\"error\":null}" }).unwrap();
    }
}

/// A root with a call and a tool. The call has ended.
pub fn growing(spool: &Spool) -> [Run; 3] {
    let root = Run::start(spool, None, false);
    let call = Run::start(spool, Some(root.id), true);
    let tool = Run::start(spool, Some(root.id), false);
    call.end(spool, CallEnd::Ok);
    [root, call, tool]
}
