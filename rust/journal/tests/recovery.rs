//! Recovery from the leftovers of a dead process, and from damage.

mod common;

use std::os::unix::fs::FileExt;

use common::{Bench, assert_sound, open, row, segments};
use plsync_journal::{CallEnd, Error, Query, State, Store};

/// The offset of a needle in a file.
fn find(path: &std::path::Path, needle: &[u8]) -> u64 {
    let bytes = std::fs::read(path).unwrap();
    bytes.windows(needle.len()).position(|window| window == needle).unwrap() as u64
}

fn write_at(path: &std::path::Path, bytes: &[u8], offset: u64) {
    std::fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, offset).unwrap();
}

#[test]
fn a_call_that_was_running_when_its_process_died_is_closed_as_abandoned() {
    let bench = Bench::new();
    let done = bench.call("done");
    let cut = bench.start("cut", b"{\"prompt\":\"?\"}");
    let (_keep, path) = bench.after_death();
    let store = Store::open(&path, false).unwrap();
    assert_eq!(store.ingest(true).unwrap().abandoned, 1);
    let abandoned = row(&store, cut);
    assert_eq!(
        (abandoned.ended, abandoned.state, abandoned.start.is_some()),
        (CallEnd::Abandoned, State::Pending, true)
    );
    assert_eq!(row(&store, done).ended, CallEnd::Ok);
    let failed = Query { ended: vec![CallEnd::Error, CallEnd::Abandoned], ..Query::default() };
    assert_eq!(store.query(&failed).unwrap().iter().map(|row| row.id).collect::<Vec<_>>(), [cut]);
    assert_sound(&store);
}

#[test]
fn a_call_of_a_living_process_stays_open() {
    let bench = Bench::new();
    let id = bench.start("running", b"{}");
    let store = bench.store();
    assert_eq!(store.ingest(true).unwrap().abandoned, 0);
    assert_eq!(row(&store, id).ended, CallEnd::No);
}

#[test]
fn a_torn_tail_costs_only_the_torn_frame() {
    let bench = Bench::new();
    let whole = bench.call("whole");
    let torn = bench.start("torn", b"{\"needle\":\"TORN\"}");
    let (_keep, path) = bench.after_death();
    let segment = &segments(&path)[0];
    let at = find(segment, b"TORN");
    write_at(segment, &[0; 32], at);
    let store = Store::open(&path, false).unwrap();
    let report = store.ingest(true).unwrap();
    assert_eq!(report.damage.len(), 1);
    assert!(store.get(whole).unwrap().is_some() && store.get(torn).unwrap().is_none());
    assert!(segments(&path).is_empty());
    assert_eq!(store.stats().unwrap().damaged, 1);
}

#[test]
fn damage_in_the_middle_costs_only_its_frame_and_the_segment_is_kept() {
    let bench = Bench::new();
    let before = bench.call("before");
    let hit = bench.start("hit", b"{\"needle\":\"HERE\"}");
    let after = bench.call("after");
    let (_keep, path) = bench.after_death();
    let segment = segments(&path)[0].clone();
    let at = find(&segment, b"HERE");
    write_at(&segment, b"#", at);
    let store = Store::open(&path, false).unwrap();
    let report = store.ingest(true).unwrap();
    assert_eq!(report.damage.len(), 1);
    assert!(store.get(before).unwrap().is_some() && store.get(after).unwrap().is_some());
    assert!(store.get(hit).unwrap().is_none());
    assert!(segment.with_extension("damaged").exists());
}

#[test]
fn a_damaged_length_does_not_swallow_the_frames_after_it() {
    let bench = Bench::new();
    bench.call("before");
    let hit = bench.start("hit", b"{\"needle\":\"HERE\"}");
    let after = bench.call("after");
    let (_keep, path) = bench.after_death();
    let segment = segments(&path)[0].clone();
    let header = find(&segment, &hit.0) - 24;
    write_at(&segment, &0x00ff_ffffu32.to_le_bytes(), header + 8);
    let store = open(&path);
    assert!(store.get(after).unwrap().is_some());
}

#[test]
fn events_read_before_an_error_are_stored() {
    let bench = Bench::new();
    let before: Vec<_> = (0..3000).map(|_| bench.call("before")).collect();
    let newer = bench.start("newer", b"{}");
    let (_keep, path) = bench.after_death();
    let holds = |path: &std::path::PathBuf| std::fs::read(path).unwrap().windows(16).any(|window| window == newer.0);
    let segment = segments(&path).into_iter().find(holds).unwrap();
    let at = find(&segment, &newer.0) - 24;
    let mut header = std::fs::read(&segment).unwrap()[usize::try_from(at).unwrap()..][..48].to_vec();
    header[4] = 2;
    let crc = crc_fast::crc32_iscsi(&header[..44]);
    header[44..].copy_from_slice(&crc.to_le_bytes());
    write_at(&segment, &header, at);
    let store = Store::open(&path, false).unwrap();
    assert!(store.ingest(true).unwrap_err().to_string().contains("newer plsync"));
    let kept = before.iter().filter(|id| store.get(**id).unwrap().is_some()).count();
    // All except the events of the chunk in which reading failed.
    assert!(kept >= 2700, "{kept} of 3000");
    assert!(segment.exists());
}

#[test]
fn an_unfinished_segment_of_a_dead_process_is_removed() {
    let bench = Bench::new();
    bench.call("whole");
    let (_keep, path) = bench.after_death();
    let unfinished =
        segments(&path)[0].with_file_name(format!("{}-00000007.new", bench.spool.writer_id().unwrap().hex()));
    std::fs::write(&unfinished, b"half").unwrap();
    let store = open(&path);
    assert_eq!(store.stats().unwrap().records, 1);
    assert!(!unfinished.exists());
}

#[test]
fn failures_of_a_dead_writer_are_still_counted() {
    let bench = Bench::new();
    bench.call("ok");
    bench.spool.note_failure("disk full");
    let (_keep, path) = bench.after_death();
    let store = open(&path);
    let stats = store.stats().unwrap();
    assert_eq!((stats.failures, stats.last_failure.as_deref(), stats.writers.len()), (1, Some("disk full"), 0));
    store.ingest(true).unwrap();
    assert_eq!(store.stats().unwrap().failures, 1);
}

#[test]
fn a_newer_format_is_refused() {
    let bench = Bench::new();
    bench.call("old");
    let marker = bench.path.join("FORMAT");
    std::fs::write(&marker, "plsync journal\nformat 99\nid 0\n").unwrap();
    let refused = Store::open(&bench.path, false).err().unwrap();
    assert!(matches!(&refused, Error::Newer { .. }));
    assert!(refused.to_string().contains("99"));
}

#[test]
fn a_directory_with_other_files_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Store::open(&dir.path().join("none"), false), Err(Error::NotFound(_))));
    std::fs::write(dir.path().join("thesis.tex"), "mine").unwrap();
    assert!(matches!(Store::open(dir.path(), true), Err(Error::Format { .. })));
}

#[test]
fn a_flipped_bit_in_the_store_is_reported_and_hides_nothing_else() {
    let bench = Bench::new();
    let hit = bench.start("hit", b"{\"needle\":\"QQQQQQ\"}");
    let fine = bench.call("fine");
    drop(bench.store());
    let (_keep, path) = bench.after_death();
    let data = path.join("lmdb/data.mdb");
    let at = find(&data, b"QQQQQQ");
    write_at(&data, b"R", at);
    let store = Store::open(&path, false).unwrap();
    let report = store.check().unwrap();
    assert_eq!(report.problems.len(), 1);
    assert!(report.problems[0].place.contains(&hit.hex()));
    let page = store.query(&Query::default()).unwrap();
    assert_eq!(page.len(), 2);
    assert!(page.iter().find(|row| row.id == hit).unwrap().damage.is_some());
    assert!(page.iter().find(|row| row.id == fine).unwrap().damage.is_none());
}

#[test]
fn only_the_owner_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    fn walk(path: &std::path::Path) {
        let mode = std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        if path.is_dir() {
            assert_eq!(mode, 0o700, "{}", path.display());
            for entry in std::fs::read_dir(path).unwrap() {
                walk(&entry.unwrap().path());
            }
        } else {
            assert_eq!(mode, 0o600, "{}", path.display());
        }
    }
    let bench = Bench::new();
    bench.call("secret");
    drop(bench.store());
    walk(&bench.path);
}
