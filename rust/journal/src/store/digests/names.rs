//! The names in digests: of models and of providers. A digest has their numbers.

use heed::{RoTxn, RwTxn};

use super::row::NameId;
use crate::Result;
use crate::labels::MAX_VALUE;
use crate::store::db::trees::{Trees, with_seal, without_seal};

/// The kind of a name. Each kind has its own numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum NameKind {
    Model = b'm',
    Provider = b'p',
}

impl NameKind {
    pub(crate) const ALL: [Self; 2] = [Self::Model, Self::Provider];
}

/// The second byte of the keys of names, and of the keys of numbers.
const NAME: u8 = b'n';
const NUMBER: u8 = b'i';

fn name_key(kind: NameKind, name: &[u8]) -> Vec<u8> {
    [&[kind as u8, NAME][..], &name[..name.len().min(MAX_VALUE)]].concat()
}

fn number_key(kind: NameKind, number: NameId) -> Vec<u8> {
    [&[kind as u8, NUMBER][..], &number.0.to_be_bytes()].concat()
}

/// The number of a name; `None` without one.
pub(crate) fn number(txn: &RoTxn, trees: &Trees, kind: NameKind, name: &[u8]) -> Result<Option<NameId>> {
    let key = name_key(kind, name);
    let value = trees.digest_names.get(txn, &key)?.and_then(|stored| without_seal(&key, stored));
    Ok(value.and_then(|value| value.try_into().ok()).map(|number| NameId(u32::from_be_bytes(number))))
}

/// The name of a number, if both of its entries are intact and lead to each other.
pub(crate) fn name(txn: &RoTxn, trees: &Trees, kind: NameKind, id: NameId) -> Result<Option<Vec<u8>>> {
    let key = number_key(kind, id);
    let name = trees.digest_names.get(txn, &key)?.and_then(|stored| without_seal(&key, stored)).map(<[u8]>::to_vec);
    Ok(match name {
        Some(name) if number(txn, trees, kind, &name)? == Some(id) => Some(name),
        _ => None,
    })
}

/// The number of a name. A new name gets the next number.
pub(super) fn intern(txn: &mut RwTxn, trees: &Trees, kind: NameKind, name: &[u8]) -> Result<NameId> {
    if let Some(known) = number(txn, trees, kind, name)? {
        return Ok(known);
    }
    let behind = number_key(kind, NameId(u32::MAX));
    let last = trees.digest_names.get_lower_than_or_equal_to(txn, &behind)?;
    let last = last.and_then(|(key, _)| key.strip_prefix(&[kind as u8, NUMBER])?.try_into().ok());
    let next = NameId(last.map_or(0, u32::from_be_bytes).saturating_add(1));
    put(txn, trees, kind, name, next)?;
    Ok(next)
}

/// Stores a name and its number.
pub(crate) fn put(txn: &mut RwTxn, trees: &Trees, kind: NameKind, name: &[u8], id: NameId) -> Result<()> {
    let (by_name, by_number) = (name_key(kind, name), number_key(kind, id));
    let name = by_name[2..].to_vec();
    trees.digest_names.put(txn, &by_name, &with_seal(&by_name, id.0.to_be_bytes().to_vec()))?;
    Ok(trees.digest_names.put(txn, &by_number, &with_seal(&by_number, name))?)
}

/// Removes a name.
pub(super) fn remove(txn: &mut RwTxn, trees: &Trees, kind: NameKind, id: NameId) -> Result<()> {
    if let Some(name) = name(txn, trees, kind, id)? {
        trees.digest_names.delete(txn, &name_key(kind, &name))?;
    }
    trees.digest_names.delete(txn, &number_key(kind, id))?;
    Ok(())
}

/// The kind, the name and the number in one entry of the tree, if its seal is right.
pub(crate) fn read(key: &[u8], stored: &[u8]) -> Option<(NameKind, Vec<u8>, NameId)> {
    let value = without_seal(key, stored)?;
    let id = |bytes: &[u8]| Some(NameId(u32::from_be_bytes(bytes.try_into().ok()?)));
    let (&[kind, of], rest) = key.split_first_chunk::<2>()?;
    let kind = NameKind::ALL.into_iter().find(|known| *known as u8 == kind)?;
    match of {
        NAME => Some((kind, rest.to_vec(), id(value)?)),
        NUMBER => Some((kind, value.to_vec(), id(rest)?)),
        _ => None,
    }
}
