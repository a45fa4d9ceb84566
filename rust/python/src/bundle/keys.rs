//! Key files and cards, as text.

use plsync_bundle::{Card, Cost, Error, Identity, SecretKey};
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

/// The files of keys, which a passphrase protects from now on. `log_n` is the binary logarithm of scrypt's cost.
#[pyfunction]
#[pyo3(signature = (signing_key, identity, passphrase, *, log_n = Cost::USUAL))]
pub(crate) fn lock_keys(
    py: Python<'_>,
    signing_key: &str,
    identity: &str,
    passphrase: &str,
    log_n: u8,
) -> PyResult<(String, String)> {
    handover::require(py)?;
    let lock = || {
        let (key, identity, cost) = (SecretKey::parse(signing_key)?, Identity::parse(identity)?, Cost::new(log_n)?);
        Ok((key.locked_file(passphrase, cost)?, identity.locked_file(passphrase, cost)?))
    };
    py.detach(lock).map_err(|error: Error| bundle_to_python(py, &error))
}

/// The file of a signing key without a passphrase, from a file with one; None for a wrong passphrase.
#[pyfunction]
pub(crate) fn unlock_signing_key(py: Python<'_>, file: &str, passphrase: &str) -> PyResult<Option<String>> {
    handover::require(py)?;
    opened(py, py.detach(|| SecretKey::unlock(file, passphrase)).map(|key| key.file()))
}

/// The file of an identity without a passphrase, from a file with one; None for a wrong passphrase.
#[pyfunction]
pub(crate) fn unlock_identity(py: Python<'_>, file: &str, passphrase: &str) -> PyResult<Option<String>> {
    handover::require(py)?;
    opened(py, py.detach(|| Identity::unlock(file, passphrase)).map(|identity| identity.file()))
}

fn opened(py: Python<'_>, file: Result<String, Error>) -> PyResult<Option<String>> {
    match file {
        Err(Error::Passphrase) => Ok(None),
        other => other.map(Some).map_err(|error| bundle_to_python(py, &error)),
    }
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
