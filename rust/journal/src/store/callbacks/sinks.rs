//! Sinks: the receivers of request ids. Records and the callback queue name them by number.

use heed::RoTxn;

use crate::ids::SinkId;
use crate::store::db::trees::{Trees, sink_key, with_seal, without_seal};
use crate::store::records::transition::Change;
use crate::{Result, labels};

fn name_key(name: &[u8]) -> Vec<u8> {
    [b"n", &name[..name.len().min(labels::MAX_VALUE)]].concat()
}

fn number_key(sink: SinkId) -> Vec<u8> {
    [&b"i"[..], &sink_key(sink)].concat()
}

/// The number of a sink; `None` when no record has named it.
pub(crate) fn number(txn: &RoTxn, trees: &Trees, name: &[u8]) -> Result<Option<SinkId>> {
    let key = name_key(name);
    let value = trees.sinks.get(txn, &key)?.and_then(|stored| without_seal(&key, stored));
    Ok(value.and_then(|value| value.first_chunk()).map(|number| SinkId(u32::from_be_bytes(*number))))
}

/// The name of a sink, if both of its entries are intact and lead to each other.
pub(crate) fn name(txn: &RoTxn, trees: &Trees, sink: SinkId) -> Result<Option<Vec<u8>>> {
    let key = number_key(sink);
    let name = trees.sinks.get(txn, &key)?.and_then(|stored| without_seal(&key, stored)).map(<[u8]>::to_vec);
    Ok(match name {
        Some(name) if number(txn, trees, &name)? == Some(sink) => Some(name),
        _ => None,
    })
}

/// Stores the name and the number of a sink.
pub(crate) fn put(change: &mut Change<'_, '_>, name: &[u8], sink: SinkId) -> Result<()> {
    let (by_name, by_number) = (name_key(name), number_key(sink));
    let value = with_seal(&by_name, sink_key(sink).to_vec());
    change.trees.sinks.put(change.txn, &by_name, &value)?;
    Ok(change.trees.sinks.put(change.txn, &by_number, &with_seal(&by_number, name.to_vec()))?)
}

/// The number of a sink. A new sink gets one.
pub(crate) fn intern(change: &mut Change<'_, '_>, name: &[u8]) -> Result<SinkId> {
    if let Some(sink) = number(change.txn, change.trees, name)? {
        return Ok(sink);
    }
    // Each sink has two entries, so half the tree's length is the newest number.
    let sink = SinkId(u32::try_from(change.trees.sinks.len(change.txn)? / 2 + 1).unwrap_or(u32::MAX));
    put(change, name, sink)?;
    Ok(sink)
}

/// The name and the number in one entry of the tree, if its seal is right.
pub(crate) fn read(key: &[u8], stored: &[u8]) -> Option<(Vec<u8>, SinkId)> {
    let value = without_seal(key, stored)?;
    let sink = |bytes: &[u8]| Some(SinkId(u32::from_be_bytes(bytes.try_into().ok()?)));
    match key.split_first()? {
        (b'n', name) => Some((name.to_vec(), sink(value)?)),
        (b'i', number) => Some((value.to_vec(), sink(number)?)),
        _ => None,
    }
}
