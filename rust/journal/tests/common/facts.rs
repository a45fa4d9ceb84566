//! Facts of digests in the labels of frames, and figures in place of the missing facts.

use plsync_journal::facts::{EndFacts, StartFacts, Tokens};
use plsync_journal::{Draft, Figures, Store};

/// Bytes of a frame's header, before its labels.
const HEADER: usize = 48;

/// The label with the facts that a test's call has at its start.
pub fn of_start() -> Vec<u8> {
    label(|draft| StartFacts { kind: 1, is_model_open: false, provider: Some(b"p"), model: Some(b"m") }.push(draft))
}

/// The label with the facts of an end of this duration.
pub fn of_end(duration: u64) -> Vec<u8> {
    let tokens = Some(Tokens { input: 3, output: 2, cached: 1 });
    label(|draft| EndFacts { duration_ns: Some(duration), first_token_ns: None, tokens }.push(draft))
}

fn label(push: impl FnOnce(&mut Draft)) -> Vec<u8> {
    let mut draft = Draft::new();
    draft.clear();
    push(&mut draft);
    draft.body().split_off(HEADER)
}

/// Makes every missing digest, each with the number of its record as duration.
pub fn fill(store: &Store) {
    let mut below = None;
    loop {
        let (rows, next) = store.undigested(below, 7).unwrap();
        let figures: Vec<_> = rows
            .iter()
            .map(|row| Figures {
                seq: row.seq,
                ended: row.ended as u8,
                kind: "llm".into(),
                duration_ns: Some(row.seq.0),
                model: Some("filled".into()),
                thread: Some("thread".into()),
                ..Figures::default()
            })
            .collect();
        store.put_digests(&figures).unwrap();
        below = next;
        if below.is_none() {
            return;
        }
    }
}
