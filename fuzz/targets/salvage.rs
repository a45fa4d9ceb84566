//! Reads a data file with changed bytes as a salvage does: reading ends, and finds no more records than the file had.
#![no_main]

mod damaged;

use std::fs;

use damaged::{Change, damaged, directory};
use libfuzzer_sys::fuzz_target;
use plsync_journal::read_pages;

fuzz_target!(|changes: Vec<Change>| {
    let data = directory().join("salvaged.mdb");
    fs::write(&data, damaged(&changes)).unwrap();
    let (records, damaged) = read_pages(&data).unwrap();
    assert!(records <= 1000, "records were invented");
    assert!(!changes.is_empty() || damaged == 0, "a whole file is reported as damaged");
});
