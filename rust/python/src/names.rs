//! Dict keys that come again and again: their JSON text, and whether credentials go by such a name, worked out once.

use std::sync::{Mutex, MutexGuard, TryLockError};

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::encode::text;

/// Left alone, as `privacy.py` leaves them: the names in JSON schemas are the program's data.
const SCHEMAS: [&str; 5] = ["input_schema", "json_schema", "parameters", "properties", "schema"];
/// Longest JSON text of a name that is remembered.
const MAX_TEXT: usize = 38;
/// The last word in names of tokens that are credentials.
const TOKEN: &str = "token";
/// The last word in names of settings that are a user and a password.
const AUTH: &str = "auth";
/// How many names are remembered; each has one place, by its address.
const PLACES: usize = 256;

/// What a name says about the value under it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Nothing.
    Plain,
    /// It is a JSON schema.
    Schema,
    /// It may be a credential; `credentials.py` decides.
    Suspect,
    /// It is what a model says of its answer.
    Metadata,
    /// It is headers, if it is in such metadata.
    Headers,
}

/// A name that is remembered. The string is kept, so that its address stays its own.
pub(crate) struct Name {
    key: Py<PyString>,
    text: [u8; MAX_TEXT],
    len: u8,
    look: Look,
}

impl Name {
    /// Appends the name as JSON: the comma before it, the name in quotes, the colon behind it.
    pub(crate) fn append(&self, out: &mut Vec<u8>) {
        let end = out.len() + usize::from(self.len);
        // A copy of known length is a few instructions, and quicker than the call that one of `len` bytes would be.
        out.extend_from_slice(&self.text);
        out.truncate(end);
    }

    pub(crate) fn look(&self) -> Look {
        self.look
    }
}

/// The names that are remembered, by their address.
pub(crate) struct Names {
    places: [Option<Name>; PLACES],
    /// The address that last missed each place. A name is remembered when it misses twice in a row, so that names made for one
    /// call don't push out those of every call.
    missed: [usize; PLACES],
}

static NAMES: Mutex<Names> = Mutex::new(Names::new());

/// The memory, while the GIL is held. None where it is in use below: up to Python 3.11 an allocation may collect garbage, and a
/// finaliser of the program may then come back here.
pub(crate) fn names() -> Option<MutexGuard<'static, Names>> {
    match NAMES.try_lock() {
        Ok(names) => Some(names),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

impl Names {
    const fn new() -> Self {
        Self { places: [const { None }; PLACES], missed: [0; PLACES] }
    }

    /// What is known of a name; None for one that is met for the first time, is long, or can't be a key of plain JSON.
    pub(crate) fn find(&mut self, key: &Bound<'_, PyString>) -> Option<&Name> {
        let address = key.as_ptr() as usize;
        let at = (address >> 4 ^ address >> 13) % PLACES;
        let known = self.places[at].as_ref().is_some_and(|name| name.key.as_ptr() == key.as_ptr());
        if !known {
            if std::mem::replace(&mut self.missed[at], address) != address {
                return None;
            }
            self.places[at] = Some(inspect(key)?);
        }
        self.places[at].as_ref()
    }
}

fn inspect(key: &Bound<'_, PyString>) -> Option<Name> {
    let name = key.to_str().ok()?;
    if name == "$" || name.len() > MAX_TEXT {
        return None;
    }
    let mut json = vec![b','];
    text::write(&mut json, name);
    json.push(b':');
    let mut text = [0; MAX_TEXT];
    text.get_mut(..json.len())?.copy_from_slice(&json);
    Some(Name { key: key.clone().unbind(), text, len: u8::try_from(json.len()).ok()?, look: look_of(name) })
}

/// What a name says of a value that is not looked through for credentials.
pub(crate) fn place_of(name: &str) -> Look {
    match name {
        "response_metadata" | "generation_info" => Look::Metadata,
        "headers" => Look::Headers,
        _ => Look::Plain,
    }
}

/// What a name says, read letter by letter.
pub(crate) fn look_of(name: &str) -> Look {
    let place = place_of(name);
    if place != Look::Plain {
        place
    } else if SCHEMAS.contains(&name) {
        Look::Schema
    } else if is_suspect(name) {
        Look::Suspect
    } else {
        Look::Plain
    }
}

/// Whether a name has a word in it that credentials have. Some are in other names as well: they end such a name.
fn is_suspect(name: &str) -> bool {
    has_word(name, false) || ends(name, TOKEN) || ends(name, AUTH)
}

/// Whether a word that names of credentials have is anywhere in a text, with `tokens` that of any token too.
pub(crate) fn has_word(text: &str, tokens: bool) -> bool {
    let text = text.as_bytes();
    text.iter().enumerate().any(|(at, first)| match first | 0x20 {
        b'a' => begins(text, at, "authorization"),
        b'c' => begins(text, at, "cookie") || begins(text, at, "credential"),
        b'k' => begins(text, at, "key"),
        b'p' => ["password", "passwd", "passphrase"].iter().any(|word| begins(text, at, word)),
        b's' => begins(text, at, "secret"),
        b't' => tokens && begins(text, at, TOKEN),
        _ => false,
    })
}

fn ends(name: &str, word: &str) -> bool {
    name.len().checked_sub(word.len()).is_some_and(|at| begins(name.as_bytes(), at, word))
}

fn begins(text: &[u8], at: usize, word: &str) -> bool {
    text[at..].get(..word.len()).is_some_and(|part| part.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_remembered_once_it_comes_again() {
        Python::initialize();
        Python::attach(|py| {
            let key = PyString::new(py, "api_key \"quoted\"");
            let mut names = Box::new(Names::new());
            assert!(names.find(&key).is_none());
            let name = names.find(&key).expect("it came twice");
            let mut out = b"[".to_vec();
            name.append(&mut out);
            assert_eq!(out, br#"[,"api_key \"quoted\"":"#);
            assert!(name.look() == Look::Suspect);
        });
    }

    #[test]
    fn what_could_be_taken_for_a_tag_is_never_remembered() {
        Python::initialize();
        Python::attach(|py| {
            let (tag, long) = (PyString::new(py, "$"), PyString::new(py, &"x".repeat(MAX_TEXT)));
            let mut names = Box::new(Names::new());
            for _ in 0..3 {
                assert!(names.find(&tag).is_none() && names.find(&long).is_none());
            }
        });
    }
}
