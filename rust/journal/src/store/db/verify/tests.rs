//! Whole files are accepted, and any damage to the structure of a file is found.

use std::path::Path;

use heed::types::Bytes;
use heed::{Database, EnvOpenOptions};

use super::*;
use crate::frame::array;

const PAGE: usize = 4096;

/// The bytes of the golden store.
fn golden() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/format-1/journal/lmdb/data.mdb");
    std::fs::read(path).unwrap()
}

/// The bytes of a store of deep trees, after many commits that replaced and removed values of all lengths.
fn grown(seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let dir = tempfile::tempdir().unwrap();
    let mut options = EnvOpenOptions::new();
    options.map_size(256 << 20).max_dbs(4);
    // SAFETY: the directory is new, and nothing else opens it.
    let env = unsafe { options.open(dir.path()) }.unwrap();
    let mut txn = env.write_txn().unwrap();
    let trees: [Database<Bytes, Bytes>; 2] =
        ["one", "two"].map(|name| env.create_database(&mut txn, Some(name)).unwrap());
    txn.commit().unwrap();
    for _ in 0..60 {
        let mut txn = env.write_txn().unwrap();
        for _ in 0..random.usize(1..300) {
            let tree = trees[random.usize(..2)];
            let mut key = vec![0; random.usize(8..200)];
            key[..8].copy_from_slice(&random.u64(..4000).to_be_bytes());
            if random.u8(..3) == 0 {
                let found = tree.get_greater_than_or_equal_to(&txn, &key).unwrap().map(|(key, _)| key.to_vec());
                let _ = tree.delete(&mut txn, &found.unwrap_or(key)).unwrap();
            } else {
                let longest = [10, 300, 2100, 9000][random.usize(..4)];
                tree.put(&mut txn, &key, &vec![random.u8(..); random.usize(..longest)]).unwrap();
            }
        }
        if random.u8(..5) == 0 { txn.abort() } else { txn.commit().unwrap() }
    }
    std::fs::read(dir.path().join("data.mdb")).unwrap()
}

fn check(bytes: &[u8]) -> Result<(), Fault> {
    verify(&bytes)
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

/// The offset of the newest meta page's fields.
fn newest(bytes: &[u8]) -> usize {
    let txn = |page: usize| u64_at(bytes, page * PAGE + HEADER + 128);
    HEADER + if txn(1) > txn(0) { PAGE } else { 0 }
}

/// The offset of the first page that these flags have, and that a tree leads to.
fn page_with(bytes: &[u8], flags: u16) -> usize {
    let pages = (2 * PAGE..bytes.len()).step_by(PAGE).filter(|at| u16_at(bytes, at + 10) == flags);
    pages
        .filter(|at| u64_at(bytes, *at) == (at / PAGE) as u64)
        .find(|at| {
            let mut changed = bytes.to_vec();
            put(&mut changed, *at, [0xff; 8]);
            check(&changed).is_err()
        })
        .expect("the file has such a page")
}

#[test]
fn every_file_that_lmdb_wrote_is_accepted() {
    assert_eq!(check(&golden()), Ok(()));
    for seed in 0..30 {
        assert_eq!(check(&grown(seed)), Ok(()), "seed {seed}");
    }
}

#[test]
fn each_field_that_lmdb_trusts_is_checked() {
    let whole = grown(1);
    let meta = newest(&whole);
    let (branch, leaf, big) =
        (page_with(&whole, layout::BRANCH), page_with(&whole, layout::LEAF), page_with(&whole, OVERFLOW));
    let slot = |page: usize, slot: usize| page + usize::from(u16_at(&whole, page + HEADER + 2 * slot));
    let mut missed = Vec::new();
    let mut damage = |what: &str, at: usize, value: &[u8]| {
        let mut bytes = whole.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        assert_ne!(bytes, whole, "{what} changes nothing");
        if check(&bytes).is_ok() {
            missed.push(what.to_owned());
        }
    };
    for (what, at, value) in [
        ("the magic number", 0, &[0; 4][..]),
        ("the version", 4, &[2]),
        ("the size of the map", 16, &[0xff; 8]),
        ("the page size", 24, &[0, 0]),
        ("the flags of the free tree", 28, &[0]),
        ("the depth of the free tree", 30, &[9, 0]),
        ("the root of the free tree", 64, &[1, 0, 0, 0, 0, 0, 0, 0]),
        ("the flags of the tree of trees", 76, &[4]),
        ("the root of the tree of trees", 112, &[0xff; 4]),
        ("the number of entries", 104, &[77]),
        ("the last page", 120, &[0xff; 7]),
        ("an earlier last page", 120, &[9, 0]),
        ("the transaction", 128, &[0xff; 8]),
    ] {
        damage(what, meta + at, value);
    }
    for (what, page) in [("branch", branch), ("leaf", leaf)] {
        for (field, at, value) in [
            ("number", 0, &[3][..]),
            ("kind", 10, &[4]),
            ("dirty flag", 10, &[u8::try_from(u16_at(&whole, page + 10)).unwrap() | 16]),
            ("lower", 12, &[0xff, 0xff]),
            ("odd lower", 12, &[whole[page + 12] ^ 1]),
            ("no entry", 12, &[16, 0]),
            ("upper", 14, &[0xff, 0xff]),
            ("slot", 16, &[0xff, 0xff]),
            ("odd slot", 16, &[whole[page + 16] ^ 1]),
            ("two slots alike", 18, &whole[page + 16..page + 18]),
        ] {
            damage(&format!("{what}: {field}"), page + at, value);
        }
        damage(&format!("{what}: key length"), slot(page, 1) + 6, &[0xff, 0x0f]);
        damage(&format!("{what}: empty key"), slot(page, 1) + 6, &[0, 0]);
        damage(&format!("{what}: order"), slot(page, 1) + 8, &[0; 8]);
    }
    damage("branch: child", slot(branch, 1), &[0xff; 6]);
    damage("branch: two parents", slot(branch, 1), &array::<6>(&whole, slot(branch, 0)));
    damage("branch: its own child", slot(branch, 1), &whole[branch..branch + 6]);
    damage("leaf: length", slot(leaf, 0), &[0xff; 4]);
    damage("leaf: flags", slot(leaf, 0) + 4, &[6]);
    damage("overflow: number", big, &[0; 8]);
    damage("overflow: pages", big + 12, &[0xff; 4]);
    damage("overflow: no pages", big + 12, &[0; 4]);
    assert!(missed.is_empty(), "not found: {missed:#?}");
}

#[test]
fn a_free_page_that_is_in_use_is_found() {
    let whole = grown(2);
    let meta = newest(&whole);
    let root = u64_at(&whole, meta + 64);
    let page = usize::try_from(root).unwrap() * PAGE;
    assert_eq!(u16_at(&whole, page + 10), layout::LEAF, "the free list fits a page");
    let node = page + usize::from(u16_at(&whole, page + HEADER));
    let list = node + 16;
    for value in [0, 1, root, u64_at(&whole, meta + 112), u64::MAX] {
        let mut bytes = whole.clone();
        put(&mut bytes, list + 8, value.to_le_bytes());
        assert!(check(&bytes).is_err(), "{value} is free");
    }
    let mut bytes = whole.clone();
    put(&mut bytes, list, u64::MAX.to_le_bytes());
    assert!(check(&bytes).is_err(), "the list is endless");
    let mut bytes = whole;
    put(&mut bytes, node + 8, u64::MAX.to_le_bytes());
    assert!(check(&bytes).is_err(), "the transaction is in the future");
}

/// A store at the beginning of a file that is a hole from there on.
struct Sparse(Vec<u8>, u64);

impl Source for Sparse {
    fn len(&self) -> u64 {
        self.1
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> usize {
        bytes.fill(0);
        let known = (&self.0[..]).read_at(bytes, offset);
        let left = usize::try_from(self.1.saturating_sub(offset)).unwrap_or(usize::MAX);
        known.max(bytes.len().min(left))
    }
}

#[test]
fn a_sparse_file_costs_neither_its_memory_nor_its_time() {
    for (len, is_mapped) in [(1 << 40, true), (1 << 50, false), (u64::MAX / 2 - 4095, false)] {
        let mut bytes = grown(2);
        for page in [0, PAGE] {
            put(&mut bytes, page + HEADER + 120, (len / PAGE as u64 - 1).to_le_bytes());
        }
        assert_eq!(verify(&Sparse(bytes, len)).is_ok(), is_mapped, "{len}");
    }
    // A list of free pages, and a value, that claim the hole.
    let mut bytes = grown(2);
    let last = 1 << 28;
    for page in [0, PAGE] {
        put(&mut bytes, page + HEADER + 120, u64::to_le_bytes(last));
    }
    let big = page_with(&bytes, OVERFLOW);
    put(&mut bytes, big + 12, u32::MAX.to_le_bytes());
    let fault = verify(&Sparse(bytes, (last + 1) * PAGE as u64)).unwrap_err();
    assert_eq!(fault.reason, "a value has more pages than LMDB uses");
}

/// Without LMDB, for Miri.
#[test]
fn pure_bytes_are_verified_without_a_panic() {
    let whole = golden();
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..if cfg!(miri) { 3 } else { 300 } {
        let mut bytes = whole.clone();
        let page = random.usize(..bytes.len() / PAGE) * PAGE;
        bytes[page + random.usize(..24)] = random.u8(..);
        let _ = check(&bytes);
    }
}

#[test]
fn verifying_any_bytes_ends_without_a_panic() {
    let files = [golden(), grown(3)];
    let mut random = fastrand::Rng::new();
    for _ in 0..3000 {
        let mut bytes = random.choice(&files).unwrap().clone();
        for _ in 0..random.usize(1..6) {
            // Most bytes are values. The fields are at the beginnings of pages.
            let page = random.usize(..bytes.len() / PAGE) * PAGE;
            let within = *random.choice(&[24, 64, PAGE]).unwrap();
            let at = page + random.usize(..within);
            bytes[at] = random.u8(..);
        }
        bytes.truncate(if random.u8(..8) == 0 { random.usize(..bytes.len()) } else { bytes.len() });
        let _ = check(&bytes);
    }
    for len in [0, 1, 151, 152, 4095, 4096, 4248, 8192] {
        assert!(check(&golden()[..len]).is_err());
    }
}
