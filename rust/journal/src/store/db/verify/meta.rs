//! LMDB's two meta pages, which each commit writes in turn, and the description of a tree.

use super::fault::Fault;
use super::layout::{HEADER, META, u16_at, u32_at, u64_at};
use super::source::{Source, read_whole};

const UNREADABLE: &str = "it cannot be read";

/// The root of an empty tree.
pub(super) const NO_PAGE: u64 = u64::MAX;

const MAGIC: u32 = 0xbeef_c0de;
const VERSION: u32 = 1;
/// The flag of the tree of free pages: its keys are integers.
const INTEGER_KEYS: u16 = 8;
/// Bytes of the header and of the fields that LMDB reads.
const READ: usize = HEADER + 136;
/// Bytes of the description of a tree.
const TREE: usize = 48;
/// The page sizes of systems, up to the limit of LMDB.
const SIZES: [usize; 4] = [4096, 16384, 8192, 32768];
/// The largest map that a system has the address space for, in bytes.
pub(super) const MAX_MAP: u64 = 1 << 48;

pub(super) struct Meta {
    pub(super) page: u64,
    pub(super) txn: u64,
    pub(super) last_page: u64,
    pub(super) free: TreeInfo,
    pub(super) main: TreeInfo,
}

/// The description of a tree, in a meta page or in the tree of trees.
pub(super) struct TreeInfo {
    /// The page that has the description.
    pub(super) stored_in: u64,
    pub(super) root: u64,
    pub(super) depth: u16,
    /// Branch pages, leaf pages, overflow pages and entries.
    pub(super) counts: [u64; 4],
}

impl Meta {
    /// The newest commit, and the page size.
    pub(super) fn newest(file: &dyn Source) -> Result<(Self, usize), Fault> {
        let mut size = SIZES[0];
        for tried in SIZES {
            match Self::read(file, tried, 1) {
                Ok(_) => {
                    size = tried;
                    break;
                }
                // The size stays unknown, and a wrong one may fit other bytes.
                Err(fault) if fault.reason == UNREADABLE && (tried + READ) as u64 <= file.len() => return Err(fault),
                Err(_) => {}
            }
        }
        let [even, odd] = [Self::read(file, size, 0)?, Self::read(file, size, 1)?];
        // A new file has two meta pages of transaction 0.
        let is_odd = !odd.txn.is_multiple_of(2) || (odd.txn, even.txn) == (0, 0);
        if !even.txn.is_multiple_of(2) || !is_odd {
            return Err(Fault { page: 0, reason: "a commit is in the wrong meta page" });
        }
        if even.txn.max(odd.txn) == u64::MAX {
            return Err(Fault { page: 1, reason: "no transaction can follow the last one" });
        }
        Ok((if odd.txn > even.txn { odd } else { even }, size))
    }

    fn read(file: &dyn Source, size: usize, page: u64) -> Result<Self, Fault> {
        let fault = |reason| Fault { page, reason };
        let mut bytes = [0; READ];
        if !read_whole(file, &mut bytes, page * size as u64) {
            return Err(fault(UNREADABLE));
        }
        let fields = &bytes[HEADER..];
        if u16_at(&bytes, 10) != META || u32_at(fields, 0) != MAGIC || u32_at(fields, 4) != VERSION {
            return Err(fault("it is not a meta page of LMDB 0.9"));
        }
        // LMDB keeps the page size where other trees have a padding.
        if u32_at(fields, 24) as usize != size || u64_at(fields, 16) > MAX_MAP {
            return Err(fault("its sizes are impossible"));
        }
        let tree = |at: usize, flags| {
            let tree = TreeInfo::read(&fields[at..at + TREE], page);
            if u16_at(fields, at + 4) == flags { Ok(tree) } else { Err(fault("a tree has unknown flags")) }
        };
        let (free, main) = (tree(24, INTEGER_KEYS)?, tree(72, 0)?);
        Ok(Self { page, txn: u64_at(fields, 128), last_page: u64_at(fields, 120), free, main })
    }
}

impl TreeInfo {
    fn read(bytes: &[u8], stored_in: u64) -> Self {
        let counts = [8, 16, 24, 32].map(|at| u64_at(bytes, at));
        Self { stored_in, root: u64_at(bytes, 40), depth: u16_at(bytes, 6), counts }
    }

    /// The description of a named tree of plsync, which has no flags.
    pub(super) fn named(value: &[u8], stored_in: u64) -> Result<Self, &'static str> {
        if value.len() != TREE {
            return Err("the description of a tree has a wrong length");
        }
        if u32_at(value, 0) != 0 || u16_at(value, 4) != 0 {
            return Err("a tree has unknown flags");
        }
        Ok(Self::read(value, stored_in))
    }
}
