//! A cache of frequent dict keys: the JSON text of a key, and a hint about the value under it.

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::text;
use crate::attached::{AttachedCell, AttachedRef};
use crate::redact::{self, Name};

/// The longest JSON text of a cached key, in bytes.
const MAX_TEXT: usize = 38;
/// The number of slots. The address of a key decides its two slots.
const SLOTS: usize = 256;
/// The number of addresses that are remembered of keys that were not found.
const MISSED: usize = 1024;

/// A hint of a name about the value under it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// No hint.
    Plain,
    /// The value is a JSON schema.
    Schema,
    /// The value is a credential.
    Credential,
    /// The value is a credential if it is a text.
    CredentialText,
    /// The value is a credential if it is a text that looks random.
    CredentialRandom,
    /// The value is a credential if another value of its dict names one.
    Value,
    /// The value is a part of the request, if the name stands at the top of the settings.
    Request,
    /// The value is the metadata of an answer.
    Metadata,
    /// The value is headers, if the name stands in the metadata of an answer.
    Headers,
}

/// A cached key. It owns its string, so that no other string gets the same address.
pub(super) struct CachedKey {
    key: Py<PyString>,
    text: [u8; MAX_TEXT],
    len: u8,
    hint: Hint,
}

impl CachedKey {
    /// Appends a comma, the key as a JSON string, and a colon.
    pub(super) fn append(&self, out: &mut Vec<u8>) {
        let end = out.len() + usize::from(self.len);
        // A copy of constant length is a few instructions. A copy of `len` bytes is a slower call.
        out.extend_from_slice(&self.text);
        out.truncate(end);
    }

    pub(super) fn hint(&self) -> Hint {
        self.hint
    }
}

/// The cached keys, by address.
pub(super) struct KeyCache {
    slots: [Option<CachedKey>; SLOTS],
    /// The addresses that were not found last. A key is cached at its second miss: the keys of a single call must not evict the keys
    /// of every call.
    missed: [usize; MISSED],
}

static KEY_CACHE: AttachedCell<KeyCache> = AttachedCell::new(KeyCache::new());

/// The cache.
///
/// None when this thread uses it further up the stack, or another thread that waits for the interpreter. That happens up to Python 3.11: an allocation may collect garbage, and a
/// finaliser of the program may encode an object.
pub(super) fn key_cache(py: Python<'_>) -> Option<AttachedRef<'static, KeyCache>> {
    KEY_CACHE.try_borrow(py)
}

impl KeyCache {
    const fn new() -> Self {
        Self { slots: [const { None }; SLOTS], missed: [0; MISSED] }
    }

    /// The cached form of a key. None at the first use of a key, for a long key, and for a key that plain JSON can't hold.
    pub(super) fn find(&mut self, key: &Bound<'_, PyString>) -> Option<&CachedKey> {
        let address = key.as_ptr() as usize;
        let slot = (address >> 4 ^ address >> 13) % SLOTS;
        let holds =
            |cached: &Option<CachedKey>| cached.as_ref().is_some_and(|cached| cached.key.as_ptr() == key.as_ptr());
        if holds(&self.slots[slot]) {
            return self.slots[slot].as_ref();
        }
        // Two frequent keys whose addresses choose the same slot would evict each other, so each key has a second slot.
        let other = (address >> 6 ^ address >> 11) % SLOTS;
        if holds(&self.slots[other]) {
            return self.slots[other].as_ref();
        }
        if std::mem::replace(&mut self.missed[(address >> 4) % MISSED], address) != address {
            return None;
        }
        let slot = if self.slots[slot].is_none() || self.slots[other].is_some() { slot } else { other };
        self.slots[slot] = Some(inspect(key)?);
        self.slots[slot].as_ref()
    }
}

fn inspect(key: &Bound<'_, PyString>) -> Option<CachedKey> {
    let name = key.to_str().ok()?;
    // A text with a credential is no name that is frequent.
    if name == "$" || name.len() > MAX_TEXT || redact::redact_text(name).is_some() {
        return None;
    }
    let mut json = vec![b','];
    text::write(&mut json, name);
    json.push(b':');
    let mut text = [0; MAX_TEXT];
    text.get_mut(..json.len())?.copy_from_slice(&json);
    Some(CachedKey { key: key.clone().unbind(), text, len: u8::try_from(json.len()).ok()?, hint: hint_of(name) })
}

/// The hint of a name.
pub(super) fn hint_of(name: &str) -> Hint {
    match name {
        "response_metadata" | "generation_info" => Hint::Metadata,
        "headers" => Hint::Headers,
        "value" => Hint::Value,
        // The options that replay compares: python/plsync/replay/request/tools.py.
        "stop"
        | "tools"
        | "functions"
        | "tool_choice"
        | "function_call"
        | "tool_config"
        | "response_format"
        | "format"
        | "response_schema"
        | "response_json_schema"
        | "output_format"
        | "output_config"
        | "guided_json" => Hint::Request,
        _ if redact::is_schema_key(name) => Hint::Schema,
        _ => match redact::meaning(name.as_bytes()) {
            Name::Plain => Hint::Plain,
            Name::Random => Hint::CredentialRandom,
            Name::Text => Hint::CredentialText,
            Name::Credential => Hint::Credential,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_cached_at_its_second_use() {
        Python::initialize();
        Python::attach(|py| {
            let key = PyString::new(py, "api_key \"quoted\"");
            let mut cache = Box::new(KeyCache::new());
            assert!(cache.find(&key).is_none());
            let cached = cache.find(&key).expect("the key is cached");
            let mut out = b"[".to_vec();
            cached.append(&mut out);
            assert_eq!(out, br#"[,"api_key \"quoted\"":"#);
            assert!(cached.hint() == Hint::Credential);
        });
    }

    #[test]
    fn tags_and_long_keys_are_never_cached() {
        Python::initialize();
        Python::attach(|py| {
            let (tag, long) = (PyString::new(py, "$"), PyString::new(py, &"x".repeat(MAX_TEXT)));
            let mut cache = Box::new(KeyCache::new());
            for _ in 0..3 {
                assert!(cache.find(&tag).is_none() && cache.find(&long).is_none());
            }
        });
    }
}
