//! The bytes of a data file that belong to no entry.
//!
//! LMDB moves entries within a page and leaves their old bytes behind, and it reuses memory for new pages without clearing it. So a
//! page in use may hold bytes of removed entries between its slots and its nodes, or behind a long value.

use std::collections::HashMap;
use std::fs::File;

use super::layout::{BIG, BRANCH, HEADER, LEAF, NODE, OVERFLOW, u16_at, u32_at, u64_at};
use super::meta::Meta;
use super::source::read_whole;
use super::{Fault, MISSING};
use crate::os::fs;

/// Bytes that are read at once.
const PART: u64 = 1 << 20;

/// Overwrites the unused bytes of each page with zeros. The file is a compacted copy that no process has open. Each of its pages is in
/// use, and all pages of a long value follow its first page.
///
/// The outer error is the failure of a write; the inner one is a page that LMDB could not have written.
pub(crate) fn clear_unused(file: &File) -> std::io::Result<Result<(), Fault>> {
    match Unused::find(file) {
        Ok(unused) => unused.ranges.iter().try_for_each(|(from, to)| clear(file, *from, *to)).map(Ok),
        Err(fault) => Ok(Err(fault)),
    }
}

struct Unused {
    /// Offsets in the file: from, to.
    ranges: Vec<(u64, u64)>,
}

impl Unused {
    fn find(file: &File) -> Result<Self, Fault> {
        let (meta, size) = Meta::newest(file)?;
        let (size, pages) = (size as u64, meta.last_page + 1);
        let (mut ranges, mut values, mut runs) = (Vec::new(), HashMap::new(), Vec::new());
        let mut buffer = Vec::new();
        let (mut number, mut buffered) = (2, 0..0);
        while number < pages {
            if !buffered.contains(&number) {
                let count = (PART / size).min(pages - number);
                buffer.resize(usize::try_from(count * size).unwrap_or(usize::MAX), 0);
                if !read_whole(file, &mut buffer, number * size) {
                    return Err(Fault { page: number, reason: MISSING });
                }
                buffered = number..number + count;
            }
            let at = usize::try_from((number - buffered.start) * size).unwrap_or(usize::MAX);
            let page = &buffer[at..][..usize::try_from(size).unwrap_or(usize::MAX)];
            if u64_at(page, 0) != number {
                return Err(Fault { page: number, reason: "it has the number of another page" });
            }
            let kind = u16_at(page, 10);
            if kind == OVERFLOW {
                let length = u64::from(u32_at(page, 12)).max(1);
                runs.push((number, length));
                number += length;
                continue;
            }
            let (lower, upper) = (usize::from(u16_at(page, 12)), usize::from(u16_at(page, 14)));
            if !matches!(kind, BRANCH | LEAF) || lower < HEADER || lower > upper || upper > page.len() {
                return Err(Fault { page: number, reason: "it is not a page of a tree" });
            }
            if page[lower..upper].iter().any(|byte| *byte != 0) {
                ranges.push((number * size + lower as u64, number * size + upper as u64));
            }
            if kind == LEAF {
                long_values(page, lower, &mut values).map_err(|reason| Fault { page: number, reason })?;
            }
            number += 1;
        }
        for (first, length) in runs {
            let len = values.get(&first).ok_or(Fault { page: first, reason: "a long value has no entry" })?;
            ranges.push((first * size + HEADER as u64 + len, (first + length) * size));
        }
        Ok(Self { ranges })
    }
}

/// Adds the first page and the length of each value that has separate pages.
fn long_values(page: &[u8], lower: usize, values: &mut HashMap<u64, u64>) -> Result<(), &'static str> {
    for slot in (HEADER..lower).step_by(2) {
        let at = usize::from(u16_at(page, slot));
        if at + NODE > page.len() {
            return Err("an entry lies outside of it");
        }
        if u16_at(page, at + 4) & BIG != 0 {
            let value = at + NODE + usize::from(u16_at(page, at + 6));
            if value + 8 > page.len() {
                return Err("an entry lies outside of it");
            }
            values.insert(u64_at(page, value), u64::from(u32_at(page, at)));
        }
    }
    Ok(())
}

fn clear(file: &File, mut from: u64, to: u64) -> std::io::Result<()> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    while from < to {
        let step = (to - from).min(ZEROS.len() as u64);
        fs::write_at(file, &ZEROS[..usize::try_from(step).unwrap_or(ZEROS.len())], from)?;
        from += step;
    }
    Ok(())
}
