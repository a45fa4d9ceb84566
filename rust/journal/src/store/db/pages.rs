//! A reader of LMDB's data file (data format 0.9) that trusts nothing in it.
//!
//! LMDB follows the page numbers in its file, and crashes on wrong ones. This reader checks every number against the file before it
//! uses it, so damage costs only the damaged pages.

use std::cell::Cell;
use std::fs::File;
use std::path::Path;

use crate::frame::{MAX_PAYLOAD, array};
use crate::os::gate::{self, Access};
use crate::os::{allocation, fs};
use crate::{Error, Result};

const HEADER: usize = 16;
const MAGIC: u32 = 0xbeef_c0de;
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const META: u16 = 8;
/// A node's flags: the value has separate pages, or describes a tree.
const BIG: u16 = 1;
const TREE: u16 = 2;
/// The page sizes of systems, in bytes.
const SIZES: [usize; 5] = [4096, 16384, 65536, 8192, 32768];

pub(crate) struct Pages {
    file: File,
    size: usize,
    pub(crate) count: u64,
    lacks_memory: Cell<bool>,
}

/// A key and its value.
pub(crate) struct PageEntry {
    pub(crate) key: Vec<u8>,
    /// `None` when its pages cannot be read.
    pub(crate) value: Option<Vec<u8>>,
    /// The root page of the tree that the value describes.
    pub(crate) tree: Option<u64>,
}

/// The pages that a commit no longer needed.
#[derive(Clone)]
pub(crate) struct FreedPages {
    pub(crate) commit: u64,
    pub(crate) pages: Vec<u64>,
}

pub(crate) enum Page {
    Branch(Vec<u64>),
    Leaf(Vec<PageEntry>),
    Other,
}

impl Pages {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = gate::open(path, Access::ReadAny)?;
        let len = file.metadata().map_err(Error::io("cannot read", path))?.len();
        let mut pages = Self { file, size: SIZES[0], count: 0, lacks_memory: Cell::new(false) };
        for size in SIZES {
            pages.size = size;
            pages.count = len / size as u64;
            // The second meta page is at this offset only for the right size.
            if pages.meta(1).is_some() {
                return Ok(pages);
            }
        }
        (pages.size, pages.count) = (SIZES[0], len / SIZES[0] as u64);
        Ok(pages)
    }

    /// Fails if a page was not read for lack of memory. Then its content is not damaged.
    pub(crate) fn require_memory(&self) -> Result<()> {
        if self.lacks_memory.get() { Err(Error::memory()) } else { Ok(()) }
    }

    /// The content of an allocation; `None` without memory.
    fn allocated<T>(&self, made: Result<T>) -> Option<T> {
        if made.is_err() {
            self.lacks_memory.set(true);
        }
        made.ok()
    }

    /// The root of the tree of trees of the newest readable commit, and whether that is the newest commit of all.
    pub(crate) fn root(&self) -> Option<(u64, bool)> {
        let metas = [self.meta(0), self.meta(1)];
        let (_, root) = metas.into_iter().flatten().max()?;
        // Commits write the two meta pages in turn.
        let is_newest = matches!(metas, [Some((even, _)), Some((odd, _))]
            if even.is_multiple_of(2) && !odd.is_multiple_of(2) && even.abs_diff(odd) == 1);
        Some((root, is_newest))
    }

    /// Bytes of a page.
    pub(crate) fn size(&self) -> u64 {
        self.size as u64
    }

    /// The number of the newest commit, and the list of free pages in it. `None` when a part of it cannot be read.
    pub(crate) fn freed(&self) -> Option<(u64, Vec<FreedPages>)> {
        let newest = (0..2).filter_map(|number| Some((self.meta(number)?.0, number))).max()?;
        let root = u64::from_le_bytes(array(&self.meta_page(newest.1)?, HEADER + 64));
        let (mut freed, mut unread) = (Vec::new(), vec![root]);
        while let Some(number) = unread.pop().filter(|number| *number != u64::MAX) {
            match self.page(number)? {
                Page::Branch(children) => unread.extend(children),
                Page::Leaf(entries) => {
                    for PageEntry { key, value, .. } in entries {
                        let commit = u64::from_le_bytes(*key.first_chunk()?);
                        let value = value?;
                        let mut numbers = value.chunks_exact(8).map(|bytes| u64::from_le_bytes(array(bytes, 0)));
                        // The first number is the length of the list.
                        let len = usize::try_from(numbers.next()?).ok()?;
                        let pages: Vec<_> = numbers.take(len).collect();
                        freed.push(FreedPages { commit, pages });
                    }
                }
                Page::Other => return None,
            }
        }
        Some((newest.0, freed))
    }

    /// The number of the transaction that wrote a meta page, and its root.
    fn meta(&self, number: u64) -> Option<(u64, u64)> {
        let page = self.meta_page(number)?;
        Some((u64::from_le_bytes(array(&page, HEADER + 128)), u64::from_le_bytes(array(&page, HEADER + 112))))
    }

    fn meta_page(&self, number: u64) -> Option<Vec<u8>> {
        let page = self.read(number, 1)?;
        let is_meta = u16::from_le_bytes(array(&page, 10)) & META != 0;
        let magic = u32::from_le_bytes(array(&page, HEADER));
        (is_meta && magic == MAGIC).then_some(page)
    }

    /// A page; `None` when its structure is broken.
    pub(crate) fn page(&self, number: u64) -> Option<Page> {
        let page = self.read(number, 1)?;
        let flags = u16::from_le_bytes(array(&page, 10));
        if !matches!(flags & 0xf, BRANCH | LEAF) || u64::from_le_bytes(array(&page, 0)) != number {
            return Some(Page::Other);
        }
        let lower = usize::from(u16::from_le_bytes(array(&page, 12)));
        if lower < HEADER || lower > page.len() {
            return None;
        }
        let slots = page[HEADER..lower].chunks_exact(2).map(|slot| usize::from(u16::from_le_bytes([slot[0], slot[1]])));
        if flags & BRANCH != 0 {
            slots.map(|at| Some(child(page.get(at..at + 8)?))).collect::<Option<_>>().map(Page::Branch)
        } else {
            slots.map(|at| self.entry(&page, at)).collect::<Option<_>>().map(Page::Leaf)
        }
    }

    fn entry(&self, page: &[u8], at: usize) -> Option<PageEntry> {
        let node = page.get(at..at + 8)?;
        let size = u32::from_le_bytes(array(node, 0)) as usize;
        let flags = u16::from_le_bytes(array(node, 4));
        let key_len = usize::from(u16::from_le_bytes(array(node, 6)));
        let key = page.get(at + 8..at + 8 + key_len)?.to_vec();
        let data = at + 8 + key_len;
        let value = if flags & BIG != 0 {
            self.big(u64::from_le_bytes(array(page.get(data..data + 8)?, 0)), size)
        } else {
            Some(page.get(data..data + size)?.to_vec())
        };
        let is_tree = flags & TREE != 0;
        let root = value.as_deref().filter(|value| is_tree && value.len() >= 48).map(|value| array(value, 40));
        Some(PageEntry { key, value, tree: root.map(u64::from_le_bytes) })
    }

    /// A value in separate pages, behind one header.
    fn big(&self, first: u64, size: usize) -> Option<Vec<u8>> {
        if size > MAX_PAYLOAD + HEADER {
            return None;
        }
        let pages = self.read(first, (HEADER + size).div_ceil(self.size) as u64)?;
        if u64::from_le_bytes(array(&pages, 0)) != first {
            return None;
        }
        self.allocated(allocation::copied(&pages[HEADER..HEADER + size]))
    }

    fn read(&self, number: u64, pages: u64) -> Option<Vec<u8>> {
        if number.checked_add(pages)? > self.count {
            return None;
        }
        let len = usize::try_from(pages).ok()? * self.size;
        let mut bytes = self.allocated(allocation::with_room(len))?;
        bytes.resize(len, 0);
        let mut filled = 0;
        while filled < bytes.len() {
            // A sector that cannot be read counts as damaged.
            match fs::read_at(&self.file, &mut bytes[filled..], number * self.size as u64 + filled as u64) {
                Ok(read) if read > 0 => filled += read,
                _ => return None,
            }
        }
        Some(bytes)
    }
}

/// The child page of a branch node: 48 bits, in three parts.
fn child(node: &[u8]) -> u64 {
    u64::from(u32::from_le_bytes(array(node, 0))) | u64::from(u16::from_le_bytes(array(node, 4))) << 32
}
