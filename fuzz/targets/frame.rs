//! Reads arbitrary bytes as a frame: reading never panics, and lengths and labels stay within their limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plsync_journal::frame::{HEADER, Header, MAX_PAYLOAD};
use plsync_journal::labels;

fuzz_target!(|bytes: &[u8]| {
    for (_, value) in labels::iter(bytes) {
        assert!(value.len() <= labels::MAX_VALUE);
    }
    // Most inputs fail on the header's checksum. With a correct checksum, the fields behind it are read too.
    let mut sealed = bytes.to_vec();
    if sealed.len() >= HEADER {
        sealed[..4].copy_from_slice(b"PLSF");
        let crc = crc_fast::crc32_iscsi(&sealed[..HEADER - 4]);
        sealed[HEADER - 4..HEADER].copy_from_slice(&crc.to_le_bytes());
    }
    for bytes in [bytes, &sealed] {
        if let Ok(header) = Header::read(bytes) {
            assert!(header.payload_len <= MAX_PAYLOAD && header.labels_len <= header.payload_len);
            assert!(header.frame_len() >= HEADER + header.payload_len);
            let _ = header.verify(&bytes[HEADER..]);
        }
    }
});
