//! The limits of the format. A reader checks each of them before it takes memory, and the writer keeps to them.

/// Bytes of a signature file.
pub const SIGNATURE: u64 = 8 << 10;
/// Bytes of a card.
pub const CARD: u64 = 4 << 10;
/// Bytes of a key file.
pub const KEY_FILE: u64 = 4 << 10;
/// Bytes of age's header, up to the first encrypted block.
pub const AGE_HEADER: usize = 4 << 10;
/// Bytes of the manifest.
pub const MANIFEST: u64 = 4 << 20;
/// Members beside the manifest.
pub const MEMBERS: usize = 16_384;
/// Bytes of a header line, of a follow-up without its payload, and of an entry of the log.
pub const LINE: usize = 64 << 10;
/// Bytes of one body.
pub const BODY: usize = 64 << 20;
/// Bytes of the payload of a follow-up.
pub const PAYLOAD: usize = 1 << 20;
/// Uncompressed bytes of a member that has more than one line.
pub const MEMBER: usize = 4 << 20;
/// Uncompressed bytes of a member with one line: the largest record.
pub const LONE_MEMBER: usize = 2 * BODY + LINE + 2;
/// Uncompressed bytes after which the writer begins the next member.
pub const FULL_MEMBER: usize = 1 << 20;
/// The binary logarithm of the largest window of zstd.
pub(crate) const WINDOW_LOG: u32 = 23;
/// Nested arrays and objects of a body. The recorder's encoder stops at 254.
pub const DEPTH: usize = 512;
/// Tags of a record.
pub const TAGS: usize = 1024;
/// Ids of earlier bundles that a manifest repeats.
pub const RECENT: usize = 64;
/// Epochs of a log that an origin remembers as ended.
pub const ENDED_EPOCHS: usize = 1024;
