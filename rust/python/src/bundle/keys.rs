//! Key files and cards, as text.

use plsync_bundle::{Card, Error, Identity, SecretKey};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::bundle_to_python;
use crate::handover;

/// New keys: the file of the signing key, and the file of the identity for decryption.
#[pyfunction]
pub(crate) fn generate_keys(py: Python<'_>) -> PyResult<(String, String)> {
    handover::require(py)?;
    let key = SecretKey::generate().map_err(|error| bundle_to_python(py, &error))?;
    Ok((key.file(), Identity::generate().file()))
}

/// The card of keys, by their files. `replaced` is the file of the signing key before.
#[pyfunction]
#[pyo3(signature = (name, signing_key, identity, replaced = None))]
pub(crate) fn make_card(
    py: Python<'_>,
    name: &str,
    signing_key: &str,
    identity: &str,
    replaced: Option<&str>,
) -> PyResult<String> {
    handover::require(py)?;
    let make = || {
        let key = SecretKey::parse(signing_key)?;
        let replaced = replaced.map(SecretKey::parse).transpose()?;
        Card::make(name, &key, &Identity::parse(identity)?.recipient(), replaced.as_ref())
    };
    make().map_err(|error: Error| bundle_to_python(py, &error))
}

/// The fields of a card whose signatures are right.
#[pyfunction]
pub(crate) fn read_card<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyDict>> {
    handover::require(py)?;
    let card = Card::parse(text).map_err(|error| bundle_to_python(py, &error))?;
    let fields = PyDict::new(py);
    fields.set_item("name", &card.name)?;
    fields.set_item("key_id", card.key.id.to_string())?;
    fields.set_item("public_key", card.key.line())?;
    fields.set_item("recipient", card.recipient.line())?;
    fields.set_item("fingerprint", card.fingerprint())?;
    fields.set_item("replaces", card.replaces.map(|key| key.line()))?;
    Ok(fields)
}
