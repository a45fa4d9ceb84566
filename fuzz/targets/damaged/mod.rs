//! A data file with changed bytes, for the targets that read one.

use std::path::{Path, PathBuf};

/// A store with records in every state.
const WHOLE: &[u8] = include_bytes!("../../../rust/journal/tests/golden/format-1/journal/lmdb/data.mdb");
const PAGE: usize = 4096;

/// The kind of a change, a page, a place and a number.
pub type Change = (u8, u16, u16, u16);

/// The bytes of the store after the changes.
pub fn damaged(changes: &[Change]) -> Vec<u8> {
    let mut bytes = WHOLE.to_vec();
    for (kind, page, at, number) in changes {
        let pages = bytes.len() / PAGE;
        if pages == 0 {
            break;
        }
        let (page, at) = (usize::from(*page) % pages * PAGE, usize::from(*at));
        match kind % 6 {
            // A field of a header, or a slot.
            0 => put(&mut bytes, page + at % 64, &number.to_le_bytes()),
            // A number in the node of an entry.
            1 => {
                let slot = page + 16 + 2 * (at / 16 % 256);
                let node = page + usize::from(u16::from_le_bytes([bytes[slot], bytes[slot + 1]]));
                put(&mut bytes, node + at % 16, &number.to_le_bytes());
            }
            // A number of eight bytes: most of them count pages.
            2 => put(&mut bytes, page + at % 160 / 8 * 8, &u64::from(*number).to_le_bytes()),
            // Any byte.
            3 => put(&mut bytes, page + at % PAGE, &number.to_le_bytes()[..1]),
            // A page in place of another, with its number or with the other's.
            4 => {
                let from = usize::from(*number) % pages * PAGE;
                bytes.copy_within(from..from + PAGE, page);
                if at % 2 == 0 {
                    put(&mut bytes, page, &(page as u64 / PAGE as u64).to_le_bytes());
                }
            }
            // A shorter file.
            _ => bytes.truncate(page + at % PAGE),
        }
    }
    bytes
}

fn put(bytes: &mut [u8], at: usize, new: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + new.len()) {
        place.copy_from_slice(new);
    }
}

/// A directory in memory where the system has one: a disk would take most of the time.
pub fn directory() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    let path = base.join(format!("plsync-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}
