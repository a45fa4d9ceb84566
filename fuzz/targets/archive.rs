//! Reads arbitrary bytes as an archive and as age's header: names and sizes stay within their limits, and no byte is read twice.
#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use plsync_bundle::tar::{Archive, BLOCK, MAX_NAME, header, parse};

fuzz_target!(|bytes: &[u8]| {
    // Most inputs fail on the form of the first header. With that header made right, the blocks behind it are read too.
    let mut whole = bytes.to_vec();
    if let Some(first) = whole.first_chunk_mut::<BLOCK>() {
        let size = u64::from(u16::from_le_bytes([first[0], first[1]]));
        *first = header("manifest.json", size).unwrap();
    }
    for bytes in [bytes, &whole] {
        if let Some(block) = bytes.first_chunk() {
            if let Ok(Some((name, size))) = parse(block) {
                assert_eq!(header(name, size).unwrap(), *block);
            }
        }
        let (mut archive, mut total) = (Archive::new(bytes), 0);
        while let Ok(Some((name, size))) = archive.next_file() {
            assert!(!name.is_empty() && name.len() <= MAX_NAME);
            let mut content = Vec::new();
            archive.read_to_end(&mut content).unwrap();
            assert!(content.len() as u64 <= size);
            total += BLOCK + content.len();
            assert!(total <= bytes.len());
        }
    }
});
