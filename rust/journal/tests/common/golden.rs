//! The golden journals: journals of earlier versions, each with a list of its content. Every later version must read all of it.

use std::path::{Path, PathBuf};

use plsync_journal::{Query, Row, Store, labels};

use super::carried;

/// The labels of its records.
pub const TAGS: [&str; 2] = ["gpt4all", "night-shift"];
pub const MODEL: &str = "orca-mini-3b";

/// The golden journals: of the first version, and of the versions that added servers, trees, and calls that repeat their root. The last
/// two are of an origin and of a hub, between which bundles went.
pub const ALL: [&str; 6] =
    ["format-1", "format-1-servers", "format-1-trees", "format-1-repeated", "format-1-origin", "format-1-hub"];

pub fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// The lines of the manifest, which must be found in the journal.
pub fn expected(name: &str) -> Vec<String> {
    std::fs::read_to_string(directory(name).join("manifest.tsv")).unwrap().lines().map(str::to_owned).collect()
}

/// Copies the journal: reading one moves the events of its spool into the store.
pub fn copy_to(name: &str, path: &Path) {
    super::copy(&directory(name).join("journal"), path);
}

/// The content of a journal in the form of the manifest: its records, its indexes, and its counts.
pub fn contents(store: &Store) -> plsync_journal::Result<Vec<String>> {
    let all = Query { limit: usize::MAX, oldest_first: true, runs: true, ..Query::default() };
    let mut lines: Vec<String> = store.query(&all)?.iter().map(line).collect();
    for (kind, value) in [(labels::TAG, TAGS[0]), (labels::TAG, TAGS[1]), (labels::MODEL, MODEL)] {
        let found = store.by_label(kind, value.as_bytes(), usize::MAX)?;
        let ids: Vec<_> = found.iter().map(plsync_journal::RecordId::hex).collect();
        lines.push(format!("label\t{}\t{value}\t{}", char::from(kind), ids.join(" ")));
    }
    for row in store.query(&all)? {
        if let Some(ack) = row.ack.filter(|ack| ack.is_of_call()) {
            let found: Vec<_> = store.by_request(ack.request_id)?.iter().map(plsync_journal::RecordId::hex).collect();
            lines.push(format!("request\t{}\t{}", ack.request_id, found.join(" ")));
        }
    }
    for root in store.roots(None, true, usize::MAX)? {
        let members: Vec<_> = store.tree(root, None, usize::MAX)?.iter().map(|row| row.id.hex()).collect();
        lines.push(format!("tree\t{}\t{}", root.hex(), members.join(" ")));
    }
    for known in store.servers()? {
        let (server, in_doubt) = (known.server, known.in_doubt);
        let kind = if server.is_stand_in { "stand-in" } else { "server" };
        lines.push(format!("{kind}\t{}\t{:?}\t{}\t{in_doubt}", server.url, known.is_bound, server.acked));
    }
    let stats = store.stats()?;
    let backlogs = store.callback_backlogs()?.into_iter().filter(|backlog| backlog.waiting > 0);
    let sinks = backlogs.map(|backlog| backlog.sink).collect::<Vec<_>>().join(" ");
    lines.push(format!("numbers\t{}\t{:?}\t{}\t{sinks}", stats.records, stats.states, stats.callbacks));
    lines.extend(carried::lines(store)?);
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
        row.ack.map_or_else(String::new, |ack| format!("{} {}", ack.request_id, ack.at))
            + &row.server.as_ref().map_or_else(String::new, |server| format!(" {server}")),
        text(&row.start),
        text(&row.end),
    ]
    .join("\t")
}
