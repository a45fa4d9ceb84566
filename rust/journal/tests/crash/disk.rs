//! A disk that guarantees no more than POSIX: synced data survives a power cut, and any part of the rest may survive.
//!
//! It is stricter than any real file system. The sync of a file syncs neither its name nor its directory. Unsynced pages arrive in any
//! order or in part, and unsynced names change one by one. After a failed sync its pages count as clean, as in Linux: a later successful
//! sync does not cover them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use fastrand::Rng;

use crate::log::Op;

const PAGE: usize = 4096;
const SECTOR: usize = 512;

type NodeId = usize;

/// The state of everything below one directory.
pub struct Disk {
    nodes: Vec<Node>,
    handles: HashMap<u64, NodeId>,
    syncs: HashMap<u64, (NodeId, u64)>,
    now: u64,
}

enum Node {
    File(File),
    Dir(Dir),
}

#[derive(Default)]
struct File {
    durable: Vec<u8>,
    /// The later writes to each page, in order.
    pages: BTreeMap<usize, Vec<Piece>>,
    /// The later sizes, with the moment of each.
    sizes: Vec<(u64, usize)>,
}

#[derive(Clone)]
struct Piece {
    when: u64,
    at: usize,
    bytes: Vec<u8>,
    /// A sync of it failed, and its page was not written to since.
    abandoned: bool,
}

#[derive(Default)]
struct Dir {
    durable: BTreeMap<String, NodeId>,
    current: BTreeMap<String, NodeId>,
    pending: Vec<(u64, Change)>,
}

#[derive(Clone)]
enum Change {
    Link(String, NodeId),
    Unlink(String),
    Rename(String, String, NodeId),
}

impl Change {
    fn apply(&self, entries: &mut BTreeMap<String, NodeId>) {
        match self {
            Self::Link(name, node) => _ = entries.insert(name.clone(), *node),
            Self::Unlink(name) => _ = entries.remove(name),
            Self::Rename(from, to, node) => {
                if entries.get(from) == Some(node) {
                    entries.remove(from);
                }
                entries.insert(to.clone(), *node);
            }
        }
    }
}

impl Disk {
    pub fn new() -> Self {
        Self { nodes: vec![Node::Dir(Dir::default())], handles: HashMap::new(), syncs: HashMap::new(), now: 0 }
    }

    /// Applies one entry of the log.
    pub fn step(&mut self, op: &Op) {
        self.now += 1;
        match op {
            Op::Open { handle, create, truncate, path } => {
                let node = self.find(path).or_else(|| create.then(|| self.link(path, Node::File(File::default()))));
                let node = node.unwrap_or_else(|| panic!("{path} was opened and does not exist"));
                if *truncate {
                    let now = self.now;
                    self.file(node).sizes.push((now, 0));
                }
                self.handles.insert(*handle, node);
            }
            Op::Write { handle, offset, durable, bytes } => {
                let (node, now) = (self.handles[handle], self.now);
                let file = self.file(node);
                file.write(now, usize::try_from(*offset).unwrap(), bytes);
                if *durable {
                    file.settle(now + 1);
                }
            }
            Op::Truncate { handle, len } => {
                let (node, now) = (self.handles[handle], self.now);
                self.file(node).sizes.push((now, usize::try_from(*len).unwrap()));
            }
            Op::SyncBegin { handle, sync } => _ = self.syncs.insert(*sync, (self.handles[handle], self.now)),
            Op::SyncEnd { sync, ok } => {
                let (node, began) = self.syncs.remove(sync).expect("a sync starts before it ends");
                match &mut self.nodes[node] {
                    Node::File(file) if *ok => file.settle(began),
                    Node::File(file) => file.abandon(began),
                    Node::Dir(dir) if *ok => dir.settle(began),
                    Node::Dir(_) => {}
                }
            }
            Op::Rename { from, to } => {
                let node = self.find(from).unwrap_or_else(|| panic!("{from} was renamed and does not exist"));
                let ((dir, old), (same, new)) = (self.parent(from), self.parent(to));
                assert_eq!(dir, same, "a journal renames within a directory");
                self.change(dir, Change::Rename(old, new, node));
            }
            Op::Remove { path } => {
                let (dir, name) = self.parent(path);
                self.change(dir, Change::Unlink(name));
            }
            Op::MakeDir { path } => _ = self.link(path, Node::Dir(Dir::default())),
            Op::Mark(_) => {}
        }
    }

    /// Writes a possible content of the disk after a power cut at this moment.
    pub fn cut(&self, random: &mut Rng, into: &Path) {
        self.restore(0, random, into);
    }

    fn restore(&self, node: NodeId, random: &mut Rng, path: &Path) {
        match &self.nodes[node] {
            Node::File(file) => std::fs::write(path, file.restore(random)).unwrap(),
            Node::Dir(dir) => {
                std::fs::create_dir(path).unwrap();
                for (name, node) in dir.restore(random) {
                    self.restore(node, random, &path.join(name));
                }
            }
        }
    }

    fn link(&mut self, path: &str, node: Node) -> NodeId {
        self.nodes.push(node);
        let id = self.nodes.len() - 1;
        let (dir, name) = self.parent(path);
        self.change(dir, Change::Link(name, id));
        id
    }

    fn change(&mut self, dir: NodeId, change: Change) {
        let now = self.now;
        let Node::Dir(dir) = &mut self.nodes[dir] else { panic!("a file was used as a directory") };
        change.apply(&mut dir.current);
        dir.pending.push((now, change));
    }

    fn file(&mut self, node: NodeId) -> &mut File {
        let Node::File(file) = &mut self.nodes[node] else { panic!("a directory was used as a file") };
        file
    }

    fn find(&self, path: &str) -> Option<NodeId> {
        path.split('/').filter(|name| !name.is_empty()).try_fold(0, |node, name| match &self.nodes[node] {
            Node::Dir(dir) => dir.current.get(name).copied(),
            Node::File(_) => None,
        })
    }

    fn parent(&self, path: &str) -> (NodeId, String) {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        (self.find(dir).unwrap_or_else(|| panic!("{dir} does not exist")), name.to_owned())
    }
}

impl File {
    fn write(&mut self, when: u64, mut offset: usize, mut bytes: &[u8]) {
        let end = offset + bytes.len();
        while !bytes.is_empty() {
            let (page, at) = (offset / PAGE, offset % PAGE);
            let (piece, rest) = bytes.split_at(bytes.len().min(PAGE - at));
            let pieces = self.pages.entry(page).or_default();
            // The whole page is dirty again.
            for earlier in pieces.iter_mut() {
                earlier.abandoned = false;
            }
            pieces.push(Piece { when, at, bytes: piece.to_vec(), abandoned: false });
            offset += piece.len();
            bytes = rest;
        }
        if end > self.size() {
            self.sizes.push((when, end));
        }
    }

    fn size(&self) -> usize {
        self.sizes.last().map_or(self.durable.len(), |(_, size)| *size)
    }

    /// Makes everything before `moment` durable.
    fn settle(&mut self, moment: u64) {
        let settled = self.sizes.iter().rev().find(|(when, _)| *when < moment).map(|(_, size)| *size);
        self.sizes.retain(|(when, _)| *when >= moment);
        let size = settled.unwrap_or(self.durable.len());
        for (page, pieces) in &mut self.pages {
            let due = pieces.iter().filter(|piece| piece.when < moment && !piece.abandoned);
            for piece in due {
                put(&mut self.durable, page * PAGE + piece.at, &piece.bytes);
            }
            pieces.retain(|piece| piece.when >= moment || piece.abandoned);
        }
        self.pages.retain(|_, pieces| !pieces.is_empty());
        self.durable.resize(size, 0);
    }

    fn abandon(&mut self, moment: u64) {
        let pieces = self.pages.values_mut().flatten();
        pieces.filter(|piece| piece.when < moment).for_each(|piece| piece.abandoned = true);
    }

    fn restore(&self, random: &mut Rng) -> Vec<u8> {
        let moments: Vec<u64> = self.pages.values().flatten().map(|piece| piece.when).collect();
        let last = moments.iter().chain(self.sizes.iter().map(|(when, _)| when)).max().copied().unwrap_or(0);
        let whole = |moment: u64| self.assemble(|_, when| when < moment, self.size_at(moment));
        match random.u8(0..6) {
            0 => whole(0),
            1 => whole(last + 1),
            // All writes up to a random moment.
            2 => whole(random.choice(&moments).copied().unwrap_or(0)),
            // Each page, or each sector, at a different moment.
            style => {
                let unit = if style == 3 { PAGE } else { SECTOR };
                let mut chosen = HashMap::new();
                let sizes: Vec<usize> = self.sizes.iter().map(|(_, size)| *size).chain([self.durable.len()]).collect();
                let size = if random.bool() { self.size() } else { *random.choice(&sizes).unwrap() };
                let seed = random.u64(..);
                self.assemble(
                    |offset, when| {
                        let unit = offset / unit;
                        let moment = *chosen.entry(unit).or_insert_with(|| {
                            let mut random = Rng::with_seed(seed ^ (unit as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                            let pieces = &self.pages[&(offset / PAGE)];
                            let moments: Vec<u64> = pieces.iter().map(|piece| piece.when).chain([last + 1]).collect();
                            *random.choice(&moments).unwrap()
                        });
                        when < moment
                    },
                    size,
                )
            }
        }
    }

    fn size_at(&self, moment: u64) -> usize {
        let earlier = self.sizes.iter().rev().find(|(when, _)| *when < moment);
        earlier.map_or(self.durable.len(), |(_, size)| *size)
    }

    /// The durable bytes, with the later sectors that `arrived`.
    fn assemble(&self, mut arrived: impl FnMut(usize, u64) -> bool, size: usize) -> Vec<u8> {
        let mut content = self.durable.clone();
        for (page, pieces) in &self.pages {
            for piece in pieces {
                let mut at = page * PAGE + piece.at;
                let mut rest = &piece.bytes[..];
                while !rest.is_empty() {
                    let (sector, tail) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
                    if arrived(at, piece.when) {
                        put(&mut content, at, sector);
                    }
                    at += sector.len();
                    rest = tail;
                }
            }
        }
        content.resize(size, 0);
        content
    }
}

impl Dir {
    fn settle(&mut self, moment: u64) {
        for (_, change) in self.pending.iter().filter(|(when, _)| *when < moment) {
            change.apply(&mut self.durable);
        }
        self.pending.retain(|(when, _)| *when >= moment);
    }

    fn restore(&self, random: &mut Rng) -> BTreeMap<String, NodeId> {
        let mut entries = self.durable.clone();
        let kept = match random.u8(0..4) {
            0 => 0,
            1 => self.pending.len(),
            // File systems with a journal keep the order of names.
            2 => random.usize(..=self.pending.len()),
            _ => {
                self.pending.iter().filter(|_| random.bool()).for_each(|(_, change)| change.apply(&mut entries));
                return entries;
            }
        };
        self.pending[..kept].iter().for_each(|(_, change)| change.apply(&mut entries));
        entries
    }
}

fn put(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if content.len() < at + bytes.len() {
        content.resize(at + bytes.len(), 0);
    }
    content[at..at + bytes.len()].copy_from_slice(bytes);
}
