//! Reads arbitrary bytes as the lines of members: bodies stay inside of the bytes, and lines that were read are written the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plsync_bundle::json::scan;
use plsync_bundle::lines::{Entry, follow_ups, log, push_follow_up, push_record, records};

fuzz_target!(|bytes: &[u8]| {
    if scan(bytes, |key, value| assert!(key.len() + value.len() < bytes.len())).is_ok() {
        let read = serde_json::from_slice::<serde_json::Value>(bytes);
        let is_out_of_range = |error: &serde_json::Error| error.to_string().contains("out of range");
        let is_deep = |error: &serde_json::Error| error.to_string().contains("recursion limit");
        assert!(read.is_ok() || read.is_err_and(|error| is_out_of_range(&error) || is_deep(&error)));
    }
    if let Ok(found) = records(bytes) {
        let mut raw = Vec::new();
        found.iter().for_each(|record| push_record(&mut raw, record).unwrap());
        assert_eq!(records(&raw).unwrap(), found);
    }
    if let Ok(found) = follow_ups(bytes) {
        let mut raw = Vec::new();
        found.iter().for_each(|follow_up| push_follow_up(&mut raw, follow_up).unwrap());
        assert_eq!(follow_ups(&raw).unwrap(), found);
    }
    for line in log(bytes).unwrap_or_default() {
        if let Ok((number, entry)) = Entry::parse(line) {
            assert_eq!(entry.line(number).as_bytes(), line);
        }
    }
});
