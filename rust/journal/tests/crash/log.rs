//! The log of a process's file operations, in the order of their effects, with the promises made in between.

use std::path::Path;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A file or directory was opened (and made, with `O_CREAT`).
    Open {
        handle: u64,
        create: bool,
        truncate: bool,
        path: String,
    },
    /// Bytes were written; `durable`: through a descriptor with `O_DSYNC`.
    Write {
        handle: u64,
        offset: u64,
        durable: bool,
        bytes: Vec<u8>,
    },
    Truncate {
        handle: u64,
        len: u64,
    },
    /// A sync started. It covers every earlier write.
    SyncBegin {
        handle: u64,
        sync: u64,
    },
    /// A sync returned.
    SyncEnd {
        sync: u64,
        ok: bool,
    },
    Rename {
        from: String,
        to: String,
    },
    /// A file or a directory was removed.
    Remove {
        path: String,
    },
    MakeDir {
        path: String,
    },
    /// A promise to the program under test, or an operation that it is about to start; see `oracle`.
    Mark(String),
}

impl Op {
    /// `length u32 | kind u8 | fields`, strings and bytes last.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, numbers, tail): (u8, Vec<u64>, Vec<u8>) = match self {
            Self::Open { handle, create, truncate, path } => {
                (1, vec![*handle, u64::from(*create), u64::from(*truncate)], path.clone().into())
            }
            Self::Write { handle, offset, durable, bytes } => {
                (2, vec![*handle, *offset, u64::from(*durable)], bytes.clone())
            }
            Self::Truncate { handle, len } => (3, vec![*handle, *len], Vec::new()),
            Self::SyncBegin { handle, sync } => (4, vec![*handle, *sync], Vec::new()),
            Self::SyncEnd { sync, ok } => (5, vec![*sync, u64::from(*ok)], Vec::new()),
            Self::Rename { from, to } => (6, Vec::new(), format!("{from}\n{to}").into()),
            Self::Remove { path } => (7, Vec::new(), path.clone().into()),
            Self::MakeDir { path } => (8, Vec::new(), path.clone().into()),
            Self::Mark(text) => (9, Vec::new(), text.clone().into()),
        };
        let length = u32::try_from(1 + numbers.len() * 8 + tail.len()).unwrap();
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.push(kind);
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        bytes.extend(tail);
        bytes
    }

    fn decode(bytes: &[u8]) -> Self {
        let number = |at: usize| u64::from_le_bytes(bytes[1 + at * 8..9 + at * 8].try_into().unwrap());
        let text = |at: usize| String::from_utf8(bytes[1 + at * 8..].to_vec()).unwrap();
        match bytes[0] {
            1 => Self::Open { handle: number(0), create: number(1) != 0, truncate: number(2) != 0, path: text(3) },
            2 => Self::Write {
                handle: number(0),
                offset: number(1),
                durable: number(2) != 0,
                bytes: bytes[25..].to_vec(),
            },
            3 => Self::Truncate { handle: number(0), len: number(1) },
            4 => Self::SyncBegin { handle: number(0), sync: number(1) },
            5 => Self::SyncEnd { sync: number(0), ok: number(1) != 0 },
            6 => {
                let both = text(0);
                let (from, to) = both.split_once('\n').unwrap();
                Self::Rename { from: from.into(), to: to.into() }
            }
            7 => Self::Remove { path: text(0) },
            8 => Self::MakeDir { path: text(0) },
            9 => Self::Mark(text(0)),
            kind => panic!("the log holds an entry of kind {kind}"),
        }
    }
}

/// Reads the log of all processes.
pub fn read(path: &Path) -> Vec<Op> {
    let bytes = std::fs::read(path).unwrap();
    let mut rest = &bytes[..];
    let mut ops = Vec::new();
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        let (entry, tail) = tail.split_at(u32::from_le_bytes(*length) as usize);
        ops.push(Op::decode(entry));
        rest = tail;
    }
    ops
}
