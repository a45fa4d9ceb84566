//! A segment with damage anywhere and arbitrary bytes behind it: reading ends, every frame that was left alone is found, nothing is
//! found that was not written, and where a frame is missing damage is reported.
#![no_main]

use std::cell::RefCell;
use std::io::{Seek, Write};
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use plsync_journal::{Ended, Event, Kind, RecordId, frame, read_segment};
use tempfile::NamedTempFile;

/// Frames' bodies, where to flip which bits, and what stands behind the last frame.
type Input = (Vec<Vec<u8>>, Vec<(u16, u8)>, Vec<u8>);

thread_local! {
    static FILE: RefCell<NamedTempFile> = RefCell::new(file());
}

/// In memory where there is such a place: a disk would take most of the time.
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
        let event = Event { kind: Kind::Raw, ended: Ended::No, flags: 0, lane: 0, id, labels: &[], body };
        let from = bytes.len();
        bytes.extend(frame::framed(&event, number));
        // Padding belongs to no frame.
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
                assert!(!damage.is_empty(), "a frame is missing, and nothing was said");
            }
        }
        assert_eq!(found.len(), at, "something was found that was not written");
    });
});
