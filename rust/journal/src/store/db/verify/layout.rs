//! The layout of one LMDB page: its header, its slots and its nodes.

use crate::frame::array;

/// Bytes of a page's header.
pub(super) const HEADER: usize = 16;
/// Bytes of a node before its key.
pub(super) const NODE: usize = 8;
pub(super) const BRANCH: u16 = 1;
pub(super) const LEAF: u16 = 2;
pub(super) const OVERFLOW: u16 = 4;
pub(super) const META: u16 = 8;
/// A node's flag: the value has separate pages.
pub(super) const BIG: u16 = 1;
/// A node's flag: the value describes a tree.
pub(super) const TREE: u16 = 2;
/// The longest key that LMDB accepts, in bytes.
const MAX_KEY: usize = 511;

/// A page whose nodes lie within it, do not overlap, and leave no gap.
pub(super) struct Nodes<'p> {
    page: &'p [u8],
    pub(super) count: usize,
    pub(super) is_branch: bool,
}

/// The sizes of the nodes of a page, by their offsets. Kept between pages, because a new one costs more than the checks.
pub(super) struct Sizes(Vec<u16>);

impl Sizes {
    pub(super) fn new(page_size: usize) -> Self {
        Self(vec![0; page_size / 2])
    }
}

impl<'p> Nodes<'p> {
    /// The nodes of a tree's page; the error is the first rule of LMDB that the page breaks.
    pub(super) fn read(page: &'p [u8], number: u64, sizes: &mut Sizes) -> Result<Self, &'static str> {
        if u64_at(page, 0) != number {
            return Err("it has the number of another page");
        }
        let is_branch = match u16_at(page, 10) {
            BRANCH => true,
            LEAF => false,
            _ => return Err("it is not a page of a tree"),
        };
        let (lower, upper) = (usize::from(u16_at(page, 12)), usize::from(u16_at(page, 14)));
        if lower < HEADER || !lower.is_multiple_of(2) || lower > upper || upper > page.len() {
            return Err("the limits of its free space are wrong");
        }
        let nodes = Self { page, count: (lower - HEADER) / 2, is_branch };
        // LMDB takes the last entry of each page it enters, and the second of each branch.
        if nodes.count < 1 + usize::from(is_branch) {
            return Err("it has too few entries");
        }
        nodes.tile(upper, sizes)?;
        Ok(nodes)
    }

    /// Checks that the nodes fill the page from `upper` to its end.
    fn tile(&self, upper: usize, sizes: &mut Sizes) -> Result<(), &'static str> {
        let end = self.page.len();
        let largest = (((end - HEADER) / 2) & !1) - 2;
        sizes.0.fill(0);
        for slot in 0..self.count {
            let at = self.offset(slot);
            if at < upper || !at.is_multiple_of(2) || at + NODE > end {
                return Err("an entry lies outside of it");
            }
            let key = usize::from(u16_at(self.page, at + 6));
            if key > MAX_KEY || (key == 0 && (slot > 0 || !self.is_branch)) {
                return Err("a key has an impossible length");
            }
            let size = NODE + key + self.in_page(at);
            if size > largest {
                return Err("an entry is longer than LMDB stores in a page");
            }
            let known = &mut sizes.0[at / 2];
            if *known != 0 {
                return Err("two entries lie at one place");
            }
            *known = u16::try_from(size.next_multiple_of(2)).map_err(|_| "an entry is too long")?;
        }
        let (mut at, mut found) = (upper, 0);
        while at < end {
            match sizes.0[at / 2] {
                0 => return Err("its entries overlap or leave a gap"),
                size => at += usize::from(size),
            }
            found += 1;
        }
        if at == end && found == self.count { Ok(()) } else { Err("its entries overlap or leave a gap") }
    }

    /// Bytes behind the key of the node at `at`.
    fn in_page(&self, at: usize) -> usize {
        match (self.is_branch, u16_at(self.page, at + 4) & BIG) {
            (true, _) => 0,
            (false, 0) => u32_at(self.page, at) as usize,
            (false, _) => 8,
        }
    }

    fn offset(&self, slot: usize) -> usize {
        usize::from(u16_at(self.page, HEADER + 2 * slot))
    }

    pub(super) fn key(&self, slot: usize) -> &'p [u8] {
        let at = self.offset(slot);
        &self.page[at + NODE..][..usize::from(u16_at(self.page, at + 6))]
    }

    /// The child page of a branch's node: 48 bits, in three parts.
    pub(super) fn child(&self, slot: usize) -> u64 {
        let at = self.offset(slot);
        u64::from(u32_at(self.page, at)) | u64::from(u16_at(self.page, at + 4)) << 32
    }

    pub(super) fn flags(&self, slot: usize) -> u16 {
        u16_at(self.page, self.offset(slot) + 4)
    }

    /// The length of a leaf's value, in this page or in its own pages.
    pub(super) fn value_len(&self, slot: usize) -> usize {
        u32_at(self.page, self.offset(slot)) as usize
    }

    /// The value in this page, or the number of the first page that has it.
    pub(super) fn value(&self, slot: usize) -> &'p [u8] {
        let at = self.offset(slot);
        let from = at + NODE + usize::from(u16_at(self.page, at + 6));
        &self.page[from..from + self.in_page(at)]
    }
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}
