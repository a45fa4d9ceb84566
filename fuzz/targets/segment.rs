//! Reads a segment with flipped bits, and with arbitrary bytes behind it.
//!
//! Reading ends. It finds every undamaged frame and no other, and reports damage in place of a missing frame.
#![no_main]

use std::cell::RefCell;
use std::io::{Seek, Write};
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use plsync_journal::{Event, FrameKind, Head, RecordId, frame, read_segment};
use tempfile::NamedTempFile;

/// Bodies of frames, places and bits to flip, and the bytes behind the last frame.
type Input = (Vec<Vec<u8>>, Vec<(u16, u8)>, Vec<u8>);

thread_local! {
    static FILE: RefCell<NamedTempFile> = RefCell::new(file());
}

/// A file in memory where the system has a directory for that: a disk would take most of the time.
fn file() -> NamedTempFile {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { NamedTempFile::new_in(memory) } else { NamedTempFile::new() }.unwrap()
}

fuzz_target!(|input: Input| {
    let (bodies, flips, tail) = input;
    let mut bytes = Vec::new();
    let mut frames = Vec::new();
    for (number, body) in (0..).zip(&bodies) {
        let id = RecordId::new();
        let event = Event { head: Head::new(FrameKind::Raw, id), labels: &[], body };
        let from = bytes.len();
        bytes.extend(frame::frame_bytes(&event, number));
        // Padding is not part of a frame.
        frames.push((id, from..from + frame::HEADER + body.len(), body));
    }
    let mut damaged = Vec::new();
    let written = bytes.len();
    for (at, bits) in flips.iter().filter(|_| written > 0) {
        let at = usize::from(*at) % written;
        bytes[at] ^= bits;
        damaged.push(at);
    }
    bytes.extend_from_slice(&tail);
    FILE.with_borrow_mut(|file| {
        file.as_file().set_len(0).unwrap();
        file.rewind().unwrap();
        file.write_all(&bytes).unwrap();
        let Ok((found, damage)) = read_segment(file.path()) else { return };
        let mut at = 0;
        for (id, range, body) in &frames {
            let whole = !damaged.iter().any(|at| range.contains(at));
            if found.get(at).is_some_and(|(found, _)| found == id) {
                assert_eq!(&found[at].1, *body);
                at += 1;
            } else {
                assert!(!whole, "a whole frame was not found");
                assert!(!damage.is_empty(), "a frame is missing, and no damage is reported");
            }
        }
        assert_eq!(found.len(), at, "a frame was found that was not written");
    });
});
