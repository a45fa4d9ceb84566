//! Verifies a data file before LMDB maps it.
//!
//! LMDB trusts its file. A wrong number in a page makes it read or write outside of its memory. The verifier reads the file in safe
//! Rust and accepts only pages that LMDB itself could have written. It checks each offset, flag, length, count and page number, the
//! order of the keys, and the list of free pages. No page may belong to two owners.

mod fault;
mod layout;
mod meta;
mod source;
mod unused;

pub(crate) use fault::{Fault, MISSING};
use layout::{BIG, HEADER, Nodes, OVERFLOW, Sizes, TREE, u16_at, u32_at, u64_at};
use meta::{MAX_MAP, Meta, NO_PAGE, TreeInfo};
pub(crate) use source::Source;
pub(crate) use unused::clear_unused;

/// A tree may be this deep: the cursors of LMDB have a stack of this size.
const MAX_DEPTH: u16 = 32;
/// The pages that a transaction may have reserved at the end without writing them. LMDB keeps at most 2^17 pages in memory.
const MAX_UNWRITTEN: u64 = 1 << 20;

/// Bytes of a long list of free pages that are read at once.
const PART: usize = 64 << 10;
/// Bytes of the longest value that LMDB stores, with the header of its first page.
const MAX_VALUE: u64 = HEADER as u64 + u32::MAX as u64;

/// Verifies the newest commit of a data file.
///
/// A writer may reuse pages meanwhile. If the file has another newest commit after a fault, the verifier starts again.
pub(crate) fn verify(file: &dyn Source) -> Result<(), Fault> {
    loop {
        let (first, size) = Meta::newest(file)?;
        let verified = Walk::over(file, size, &first);
        if verified.is_ok() || Meta::newest(file).is_ok_and(|(now, _)| now.txn == first.txn) {
            return verified;
        }
    }
}

/// Whether LMDB may read these bytes of a data file.
#[cfg(fuzzing)]
pub fn is_sound(bytes: &[u8]) -> bool {
    verify(&bytes).is_ok()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The names of the trees.
    Main,
    /// Transaction -> the pages that it freed.
    Free,
    Named,
}

struct Walk<'f> {
    file: &'f dyn Source,
    size: usize,
    /// Pages of the file by its newest commit.
    pages: u64,
    txn: u64,
    /// One bit for each page.
    owned: Vec<u64>,
    sizes: Sizes,
    /// Buffers to use again.
    spare: Vec<Vec<u8>>,
}

/// The pages and entries that were found in a tree.
#[derive(Default)]
struct Found {
    branches: u64,
    leaves: u64,
    overflow: u64,
    entries: u64,
    trees: Vec<TreeInfo>,
}

/// The keys that a page may have: from the first key, to before the second.
type Bounds<'k> = (Option<&'k [u8]>, Option<&'k [u8]>);

impl<'f> Walk<'f> {
    fn over(file: &'f dyn Source, size: usize, meta: &Meta) -> Result<(), Fault> {
        let on_disk = file.len() / size as u64;
        let pages = meta.last_page.saturating_add(1);
        if pages < 2 || pages > on_disk.saturating_add(MAX_UNWRITTEN) {
            return Err(Fault { page: meta.page, reason: "the number of pages does not fit the file" });
        }
        let words = usize::try_from(pages.div_ceil(64)).unwrap_or(usize::MAX);
        // A sparse file can be longer than any map, and a failed allocation would end the process.
        if pages > MAX_MAP / size as u64 || Vec::<u64>::new().try_reserve_exact(words).is_err() {
            return Err(Fault { page: meta.page, reason: "it has more pages than this system can map" });
        }
        let mut walk = Self {
            file,
            size,
            pages,
            txn: meta.txn,
            owned: vec![0; words],
            sizes: Sizes::new(size),
            spare: Vec::new(),
        };
        walk.owned[0] = 0b11;
        let named = walk.tree(&meta.main, Kind::Main)?;
        for tree in &named {
            walk.tree(tree, Kind::Named)?;
        }
        walk.tree(&meta.free, Kind::Free)?;
        Ok(())
    }

    /// Verifies a tree; returns the trees that it names.
    fn tree(&mut self, tree: &TreeInfo, kind: Kind) -> Result<Vec<TreeInfo>, Fault> {
        let mut found = Found::default();
        if tree.root == NO_PAGE {
            if tree.depth != 0 {
                return Err(Fault { page: tree.stored_in, reason: "an empty tree has a depth" });
            }
        } else if (1..=MAX_DEPTH).contains(&tree.depth) {
            self.visit(tree.root, tree.depth, (None, None), kind, &mut found)?;
        } else {
            return Err(Fault { page: tree.stored_in, reason: "the depth of a tree is impossible" });
        }
        let counted = [found.branches, found.leaves, found.overflow, found.entries];
        if counted == tree.counts {
            Ok(found.trees)
        } else {
            Err(Fault { page: tree.stored_in, reason: "the counts of a tree are wrong" })
        }
    }

    /// Verifies a page `height` levels above the level below the leaves, and the pages under it.
    fn visit(&mut self, number: u64, height: u16, bounds: Bounds, kind: Kind, found: &mut Found) -> Result<(), Fault> {
        self.own(number, 1, number)?;
        let mut page = self.spare.pop().unwrap_or_default();
        page.resize(self.size, 0);
        self.read(number, &mut page)?;
        let fault = |reason| Fault { page: number, reason };
        let nodes = Nodes::read(&page, number, &mut self.sizes).map_err(fault)?;
        if nodes.is_branch != (height > 1) {
            return Err(fault("its tree has leaves at different depths"));
        }
        in_order(&nodes, bounds, kind).map_err(fault)?;
        if nodes.is_branch {
            found.branches += 1;
            for slot in 0..nodes.count {
                let low = if slot == 0 { bounds.0 } else { Some(nodes.key(slot)) };
                let high = if slot + 1 == nodes.count { bounds.1 } else { Some(nodes.key(slot + 1)) };
                self.visit(nodes.child(slot), height - 1, (low, high), kind, found)?;
            }
        } else {
            found.leaves += 1;
            found.entries += nodes.count as u64;
            for slot in 0..nodes.count {
                self.entry(&nodes, slot, number, kind, found)?;
            }
        }
        self.spare.push(page);
        Ok(())
    }

    fn entry(&mut self, nodes: &Nodes, slot: usize, number: u64, kind: Kind, found: &mut Found) -> Result<(), Fault> {
        let fault = |reason| Fault { page: number, reason };
        let (flags, len) = (nodes.flags(slot), nodes.value_len(slot));
        match kind {
            Kind::Main => {
                if flags != TREE {
                    return Err(fault("an entry among the trees describes no tree"));
                }
                found.trees.push(TreeInfo::named(nodes.value(slot), number).map_err(fault)?);
            }
            _ if flags & !BIG != 0 => return Err(fault("an entry has unknown flags")),
            _ if flags == 0 => {
                if kind == Kind::Free {
                    self.free(nodes.key(slot), nodes.value(slot), number)?;
                }
            }
            _ => {
                let first = u64_at(nodes.value(slot), 0);
                found.overflow += self.overflow(first, len, number)?;
                if kind == Kind::Free {
                    self.free_in_pages(nodes.key(slot), first, len)?;
                }
            }
        }
        Ok(())
    }

    /// Verifies the separate pages of a value, and returns their number.
    fn overflow(&mut self, first: u64, len: usize, from: u64) -> Result<u64, Fault> {
        let fault = |reason| Fault { page: first, reason };
        if first >= self.pages {
            return Err(Fault { page: from, reason: "a value lies beyond the last page" });
        }
        let mut header = [0; HEADER];
        self.read(first, &mut header)?;
        if u64_at(&header, 0) != first || u16_at(&header, 10) != OVERFLOW {
            return Err(fault("it is not the first page of a value"));
        }
        let pages = u64::from(u32_at(&header, 12));
        if pages > MAX_VALUE.div_ceil(self.size as u64) {
            return Err(fault("a value has more pages than LMDB uses"));
        }
        if pages < ((HEADER + len) as u64).div_ceil(self.size as u64) {
            return Err(fault("a value is longer than its pages"));
        }
        self.own(first, pages, from)?;
        // A value that was replaced by a shorter one keeps its pages.
        if first.saturating_add(pages) > self.file.len() / self.size as u64 {
            return Err(fault(MISSING));
        }
        Ok(pages)
    }

    /// Verifies a list of free pages.
    fn free(&mut self, key: &[u8], list: &[u8], number: u64) -> Result<(), Fault> {
        let count = self.freed(key, list, list.len(), number)?;
        self.own_listed(list[8..].chunks_exact(8).take(count), &mut { self.pages }, number)
    }

    /// Verifies a list of free pages in separate pages. It may claim gigabytes of a sparse file, so it is read in parts.
    fn free_in_pages(&mut self, key: &[u8], first: u64, len: usize) -> Result<(), Fault> {
        let mut part = vec![0; PART];
        let mut at = first * self.size as u64 + HEADER as u64;
        let fault = || Fault { page: first, reason: "it cannot be read" };
        if len < 8 || !source::read_whole(self.file, &mut part[..8], at) {
            return Err(fault());
        }
        let (mut left, mut above) = (self.freed(key, &part[..8], len, first)?, self.pages);
        at += 8;
        while left > 0 {
            let bytes = left.min(PART / 8) * 8;
            if !source::read_whole(self.file, &mut part[..bytes], at) {
                return Err(fault());
            }
            self.own_listed(part[..bytes].chunks_exact(8), &mut above, first)?;
            left -= bytes / 8;
            at += bytes as u64;
        }
        Ok(())
    }

    /// The length of a list of free pages, which begins a value of `len` bytes.
    fn freed(&self, key: &[u8], list: &[u8], len: usize, number: u64) -> Result<usize, Fault> {
        let fault = |reason| Fault { page: number, reason };
        let txn =
            key.try_into().map(u64::from_le_bytes).map_err(|_| fault("the number of a transaction is too long"))?;
        if !(1..=self.txn).contains(&txn) {
            return Err(fault("pages were freed by an impossible transaction"));
        }
        let count = list.first_chunk().map(|count| u64::from_le_bytes(*count));
        let room = len as u64 / 8;
        count
            .filter(|count| *count < room)
            .and_then(|count| usize::try_from(count).ok())
            .ok_or_else(|| fault("a list of free pages is longer than its value"))
    }

    /// Notes the owner of listed pages, which descend from `above`.
    fn own_listed<'l>(
        &mut self,
        listed: impl Iterator<Item = &'l [u8]>,
        above: &mut u64,
        number: u64,
    ) -> Result<(), Fault> {
        for page in listed {
            let page = u64_at(page, 0);
            if page >= *above {
                return Err(Fault { page: number, reason: "a list of free pages is not in order" });
            }
            *above = page;
            self.own(page, 1, number)?;
        }
        Ok(())
    }

    /// Notes that pages have an owner, which they must not have had before.
    fn own(&mut self, first: u64, count: u64, from: u64) -> Result<(), Fault> {
        let fault = |reason| Fault { page: from, reason };
        if first.checked_add(count).is_none_or(|end| end > self.pages) {
            return Err(fault("it leads beyond the last page"));
        }
        for page in first..first + count {
            // The file is at most 2^20 pages shorter than `pages`, so a page number fits in memory.
            let word = usize::try_from(page / 64).ok().and_then(|word| self.owned.get_mut(word));
            let word = word.ok_or_else(|| fault("it leads beyond the last page"))?;
            let bit = 1 << (page % 64);
            if *word & bit != 0 {
                return Err(fault("it leads to a page that has another owner"));
            }
            *word |= bit;
        }
        Ok(())
    }

    fn read(&self, number: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        let offset = number.checked_mul(self.size as u64);
        match offset.map(|offset| source::read_whole(self.file, bytes, offset)) {
            Some(true) => Ok(()),
            Some(false) if offset.is_some_and(|offset| offset + bytes.len() as u64 <= self.file.len()) => {
                Err(Fault { page: number, reason: "it cannot be read" })
            }
            _ => Err(Fault { page: number, reason: MISSING }),
        }
    }
}

/// Checks that the keys of a page ascend, and lie within the bounds that the pages above set.
fn in_order(nodes: &Nodes, (low, high): Bounds, kind: Kind) -> Result<(), &'static str> {
    // LMDB ignores the first key of a branch, which is mostly empty.
    let first = usize::from(nodes.is_branch);
    let is_below = |one: &[u8], other: &[u8]| match (kind, one.try_into(), other.try_into()) {
        (Kind::Free, Ok(one), Ok(other)) => Ok(u64::from_le_bytes(one) < u64::from_le_bytes(other)),
        (Kind::Free, ..) => Err("the number of a transaction is too long"),
        _ => Ok(one < other),
    };
    let mut last = None;
    for slot in first..nodes.count {
        let key = nodes.key(slot);
        let in_order = match (last, low) {
            (Some(last), _) => is_below(last, key)?,
            (None, Some(low)) => !is_below(key, low)?,
            (None, None) => true,
        };
        if !in_order {
            return Err("its keys are not in order");
        }
        last = Some(key);
    }
    match (last, high) {
        (Some(last), Some(high)) if !is_below(last, high)? => Err("its keys are not in order"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
