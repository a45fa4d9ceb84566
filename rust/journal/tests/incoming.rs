//! Events that come from elsewhere than the spool.

mod common;

use common::{assert_sound, end, row, segments, start, temp_dir};
use plsync_journal::{
    CallEnd, Durability, Error, Event, FrameKind, Head, Incoming, MAX_PAYLOAD, Query, RecordId, Spool, State, Store,
    labels,
};

fn journal() -> (tempfile::TempDir, Store) {
    let dir = temp_dir();
    let store = Store::open(&dir.path().join("journal"), true).unwrap();
    (dir, store)
}

/// Passes calls of this many on, with an answer of `bytes` bytes each.
fn calls(ids: &[RecordId], many: usize, bytes: usize) -> impl FnMut(&mut Incoming) -> plsync_journal::Result<bool> {
    let mut rest: Vec<_> = ids.to_vec();
    move |incoming| {
        let body = vec![b'x'; bytes];
        for id in rest.drain(..many.min(rest.len())) {
            incoming.push(&[start(id, &[], b"{\"start\":1}"), end(id, CallEnd::Ok, &body)])?;
        }
        Ok(!rest.is_empty())
    }
}

fn ids(number: usize) -> Vec<RecordId> {
    (0..number).map(|_| RecordId::new()).collect()
}

#[test]
fn events_are_stored_once_in_their_order_and_without_a_spool() {
    let (dir, store) = journal();
    let ids = ids(3000);
    let mut turns = 0;
    let turn = || {
        turns += 1;
        Ok(())
    };
    let report = store.take_events(calls(&ids, 70, 200), turn).unwrap();
    assert_eq!((report.records, report.frames, report.duplicates), (3000, 6000, 0));
    assert!(turns > 0);
    let stored: Vec<_> = store.query(&Query { limit: 5000, ..Query::default() }).unwrap();
    assert_eq!(stored.iter().map(|row| row.id).rev().collect::<Vec<_>>(), ids);
    assert!(stored.iter().all(|row| row.ended == CallEnd::Ok && row.state == State::Pending));
    assert!(segments(&dir.path().join("journal")).is_empty());
    let again = store.take_events(calls(&ids, 3000, 200), || Ok(())).unwrap();
    assert_eq!((again.records, again.duplicates), (0, 6000));
    assert_sound(&store);
}

#[test]
fn a_start_of_an_abandoned_call_closes_it() {
    let (_dir, store) = journal();
    let (dead, alive) = (RecordId::new(), RecordId::new());
    let head = Head { ended: CallEnd::Abandoned, ..Head::new(FrameKind::Start, dead) };
    let take = |incoming: &mut Incoming| {
        incoming.push(&[Event { head, labels: &[], body: b"{}" }])?;
        incoming.push(&[start(alive, &[], b"{}")]).map(|()| false)
    };
    store.take_events(take, || Ok(())).unwrap();
    assert_eq!((row(&store, dead).ended, row(&store, alive).ended), (CallEnd::Abandoned, CallEnd::No));
    assert_eq!(store.stats().unwrap().open, 1);
    assert_sound(&store);
}

#[test]
fn an_error_ends_the_work_and_earlier_commits_stay() {
    let (_dir, store) = journal();
    let all = ids(4000);
    let mut next = calls(&all, 100, 500);
    let mut left = 30;
    let failing = |incoming: &mut Incoming| {
        left -= 1;
        if left == 0 { Err(Error::Internal("the source ended")) } else { next(incoming) }
    };
    assert!(matches!(store.take_events(failing, || Ok(())), Err(Error::Internal("the source ended"))));
    let stored = store.stats().unwrap().records;
    assert!((1..3000).contains(&stored), "{stored}");
    let interrupted = || Err(Error::Internal("interrupted"));
    assert!(store.take_events(calls(&all, 100, 500), interrupted).is_err());
    // The same events again complete the work.
    store.take_events(calls(&all, 100, 500), || Ok(())).unwrap();
    assert_eq!(store.stats().unwrap().records, 4000);
    assert_sound(&store);
}

#[test]
fn an_event_that_is_too_large_is_refused() {
    let (_dir, store) = journal();
    let body = vec![b'x'; MAX_PAYLOAD + 1];
    let take = |incoming: &mut Incoming| incoming.push(&[start(RecordId::new(), &[], &body)]).map(|()| false);
    assert!(matches!(store.take_events(take, || Ok(())), Err(Error::TooLarge { .. })));
}

#[test]
fn large_events_and_the_spool_of_the_journal_stay_apart() {
    let (dir, store) = journal();
    let spool = Spool::open(&dir.path().join("journal"), Durability::Process).unwrap();
    let (recorded, taken) = (RecordId::new(), ids(5));
    let mut section = Vec::new();
    labels::push(&mut section, labels::TAG, b"recorded");
    spool.append(&start(recorded, &section, b"{}")).unwrap();
    store.take_events(calls(&taken, 1, 3 << 20), || Ok(())).unwrap();
    assert_eq!(store.stats().unwrap().records, 5);
    assert_eq!(store.ingest(true).unwrap().records, 1);
    assert_eq!(row(&store, taken[4]).end.map(|body| body.len()), Some(3 << 20));
    assert_sound(&store);
}
