//! The golden journal: one that an earlier version wrote, with a list of what is in it. Every later version must read all of it.

use std::path::{Path, PathBuf};

use plsync_journal::{Query, Row, Store, labels};

/// The labels it uses.
pub const TAGS: [&str; 2] = ["gpt4all", "night-shift"];
pub const MODEL: &str = "orca-mini-3b";

pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/format-1")
}

/// What must be found in it, a line each.
pub fn expected() -> Vec<String> {
    std::fs::read_to_string(directory().join("manifest.tsv")).unwrap().lines().map(str::to_owned).collect()
}

/// A copy to read, since reading moves what the spool holds into the store.
pub fn copy_to(path: &Path) {
    super::copy(&directory().join("journal"), path);
}

/// What a journal holds, in the form of the manifest: its records, what its indexes find, and what waits.
pub fn contents(store: &Store) -> plsync_journal::Result<Vec<String>> {
    let all = Query { limit: usize::MAX, oldest_first: true, ..Query::default() };
    let mut lines: Vec<String> = store.query(&all)?.iter().map(line).collect();
    for (kind, value) in [(labels::TAG, TAGS[0]), (labels::TAG, TAGS[1]), (labels::MODEL, MODEL)] {
        let found = store.by_label(kind, value.as_bytes(), usize::MAX)?;
        let ids: Vec<_> = found.iter().map(plsync_journal::RecordId::hex).collect();
        lines.push(format!("label\t{}\t{value}\t{}", char::from(kind), ids.join(" ")));
    }
    for row in store.query(&all)? {
        if let Some((request, _)) = row.ack {
            let found = store.by_request(request)?.map(|id| id.hex());
            lines.push(format!("request\t{request}\t{}", found.unwrap_or_default()));
        }
    }
    let stats = store.stats()?;
    let sinks = store.callback_sinks()?.join(" ");
    lines.push(format!("numbers\t{}\t{:?}\t{}\t{sinks}", stats.records, stats.states, stats.callbacks));
    Ok(lines)
}

fn line(row: &Row) -> String {
    let text = |body: &Option<Vec<u8>>| {
        body.as_ref().map_or_else(|| "-".to_owned(), |body| String::from_utf8_lossy(body).into_owned())
    };
    [
        row.id.hex(),
        row.seq.to_string(),
        row.state.name().to_owned(),
        format!("{:?}", row.ended),
        row.flags.to_string(),
        row.attempts.to_string(),
        row.not_before.to_string(),
        row.writer.hex(),
        row.sink.clone().unwrap_or_default(),
        row.last_error.clone(),
        row.ack.map_or_else(String::new, |(request, when)| format!("{request} {when}")),
        text(&row.start),
        text(&row.end),
    ]
    .join("\t")
}
