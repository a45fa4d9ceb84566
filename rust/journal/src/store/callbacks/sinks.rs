//! Sinks: where callbacks are delivered. Records and the callback queue name them by number.

use heed::RoTxn;

use crate::store::db::tables::{Tables, sealed, unsealed};
use crate::store::records::transition::Change;
use crate::{Result, labels};

fn name_key(name: &[u8]) -> Vec<u8> {
    [b"n", &name[..name.len().min(labels::MAX_VALUE)]].concat()
}

fn number_key(number: u32) -> Vec<u8> {
    [&b"i"[..], &number.to_be_bytes()].concat()
}

/// The number of a sink, if a record has named it.
pub(crate) fn number(txn: &RoTxn, tables: &Tables, name: &[u8]) -> Result<Option<u32>> {
    let key = name_key(name);
    let value = tables.sinks.get(txn, &key)?.and_then(|stored| unsealed(&key, stored));
    Ok(value.and_then(|value| value.first_chunk()).map(|number| u32::from_be_bytes(*number)))
}

/// The name of a sink, if both of its entries are whole and lead to each other.
pub(crate) fn name(txn: &RoTxn, tables: &Tables, number: u32) -> Result<Option<Vec<u8>>> {
    let key = number_key(number);
    let name = tables.sinks.get(txn, &key)?.and_then(|stored| unsealed(&key, stored)).map(<[u8]>::to_vec);
    Ok(match name {
        Some(name) if self::number(txn, tables, &name)? == Some(number) => Some(name),
        _ => None,
    })
}

/// Gives a sink its number.
pub(crate) fn put(change: &mut Change<'_, '_>, name: &[u8], number: u32) -> Result<()> {
    let (by_name, by_number) = (name_key(name), number_key(number));
    let value = sealed(&by_name, number.to_be_bytes().to_vec());
    change.tables.sinks.put(change.txn, &by_name, &value)?;
    Ok(change.tables.sinks.put(change.txn, &by_number, &sealed(&by_number, name.to_vec()))?)
}

/// The number of a sink, which it is given now if it has none.
pub(crate) fn intern(change: &mut Change<'_, '_>, name: &[u8]) -> Result<u32> {
    if let Some(number) = number(change.txn, change.tables, name)? {
        return Ok(number);
    }
    // Each sink has two entries, so half the tree's length is the number given last.
    let number = u32::try_from(change.tables.sinks.len(change.txn)? / 2 + 1).unwrap_or(u32::MAX);
    put(change, name, number)?;
    Ok(number)
}

/// What one entry of the tree says, if its seal is right.
pub(crate) fn read(key: &[u8], stored: &[u8]) -> Option<(Vec<u8>, u32)> {
    let value = unsealed(key, stored)?;
    match key.split_first()? {
        (b'n', name) => Some((name.to_vec(), u32::from_be_bytes(value.try_into().ok()?))),
        (b'i', number) => Some((value.to_vec(), u32::from_be_bytes(number.try_into().ok()?))),
        _ => None,
    }
}
