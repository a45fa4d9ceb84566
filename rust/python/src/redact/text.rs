//! Credentials in running text: in errors, in settings, in names, in logs.
//!
//! One walk from the left to the right. Each detector looks at a bounded number of bytes, or at bytes that the walk then skips. So the
//! time grows with the length alone.

use memchr::memchr;

use super::assignment::{Part, Walk};
use super::bytes::{ends_url, is_name, is_word, length, length_back};
use super::names::{self, Name};
use super::output::{MAX_TEXT, Output, REDACTED};
use super::tokens::{self, Tokens, is_prose, private_key};
use super::users;
use super::value::{self, MAX_GAP, MAX_NAME};

/// The text with its credentials replaced; None when it contains none.
pub(crate) fn redact_text(text: &str) -> Option<String> {
    if text.len() > MAX_TEXT {
        return Some(REDACTED.to_owned());
    }
    let bytes = text.as_bytes();
    let mut walk = Walk { text: bytes, done: 0, url_end: 0 };
    let mut search = Tokens::default();
    let mut out = Output::new(text);
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        let found = if is_word(byte) {
            let may_begin = bytes.get(at + 1).is_some_and(|second| tokens::may_begin(byte, *second));
            let found = if may_begin { search.find(bytes, at) } else { None };
            if found.is_none() {
                let end = at + length(&bytes[at..], is_word);
                let labelled = walk.labelled(at, end);
                if labelled.is_none() {
                    at = end;
                    continue;
                }
                labelled
            } else {
                found
            }
        } else {
            match byte {
                b':' if bytes[at + 1..].starts_with(b"//") => {
                    let user = walk.user(at);
                    if user.is_none() {
                        at += 3;
                        continue;
                    }
                    user
                }
                b'=' | b':' => walk.assignment(at),
                b'>' => walk.element(at),
                b'-' if bytes.get(at + 1) == Some(&b'-') => walk.option(at, &mut search),
                _ => None,
            }
        };
        match found {
            Some((start, end)) => {
                out.replace(start, end);
                at = end.max(at + 1);
                walk.done = end;
            }
            None => at += 1,
        }
    }
    out.finish()
}

impl Walk<'_> {
    /// The user information of the URL whose `://` is here.
    fn user(&mut self, at: usize) -> Part {
        let rest = &self.text[at + 3..];
        // The next URL is searched on its own, so a text of many URLs is read once.
        let region = memchr::memmem::find(rest, b"://").unwrap_or(rest.len());
        let region = &rest[..region];
        self.url_end = at + 3 + length(region, |byte| !ends_url(byte));
        let begin = at
            - length_back(&self.text[self.done..at], MAX_GAP * 4, |byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'.' | b'-')
            });
        let user = if begin < at { users::length(&self.text[begin..at], region)? } else { return None };
        (!self.text[at + 3..].starts_with(REDACTED.as_bytes())).then_some((at + 3, at + 3 + user))
    }

    /// The content of `<name>content</name>`.
    fn element(&self, at: usize) -> Part {
        let start = at - length_back(&self.text[self.done..at], MAX_NAME, is_name);
        let opens = start > self.done && matches!(self.text[start - 1], b'<' | b':');
        if !opens || names::meaning(&self.text[start..at]) == Name::Plain {
            return None;
        }
        let len = memchr(b'<', &self.text[at + 1..])?;
        (len > 0 && self.text[at + 1 + len..].starts_with(b"</")).then_some((at + 1, at + 1 + len))
    }

    /// The value of `--name value`, also in a list of arguments; or a private key.
    fn option(&self, at: usize, search: &mut Tokens) -> Part {
        let rest = &self.text[at..];
        if let Some(len) = private_key(rest) {
            return Some((at, at + len));
        }
        if !rest.starts_with(b"--")
            || at.checked_sub(1).is_some_and(|at| self.text[at] == b'-' || is_word(self.text[at]))
        {
            return None;
        }
        // A token is a credential, and no name of one.
        if let [_, _, first, second, ..] = rest
            && tokens::may_begin(*first, *second)
            && search.find(self.text, at + 2).is_some()
        {
            return None;
        }
        let name = 2 + length(&rest[2..rest.len().min(2 + MAX_NAME)], is_name);
        if names::meaning(&rest[2..name]) == Name::Plain {
            return None;
        }
        let gap =
            length(&rest[name..rest.len().min(name + MAX_GAP)], |byte| matches!(byte, b' ' | b'"' | b'\'' | b','));
        let start = name + gap;
        if gap == 0 || matches!(rest.get(start), Some(b'-' | b'[')) {
            return None;
        }
        let is_quoted = gap > 1 && matches!(rest[start - 1], b'"' | b'\'');
        let end = if is_quoted {
            value::closing_quote(self.text, at + start, rest[start - 1], 0)
        } else {
            value::unquoted_end(self.text, at + start, false)
        };
        let value = self.text.get(at + start..end)?;
        let is_none = value.is_empty() || is_prose(value);
        (!is_none).then_some((at + start, end))
    }
}

/// The text with long words of letters and digits replaced; None when it contains none. Addresses of objects stay.
fn redact_random_words(text: &str) -> Option<String> {
    const SHORTEST: usize = 16;
    let bytes = text.as_bytes();
    let mut out = Output::new(text);
    let mut at = 0;
    while at < bytes.len() {
        let len = length(&bytes[at..], |byte| byte.is_ascii_alphanumeric());
        let word = &bytes[at..at + len];
        if len >= SHORTEST
            && !word.starts_with(b"0x")
            && value::is_random(word, false)
            && word.iter().any(u8::is_ascii_digit)
        {
            out.replace(at, at + len);
        }
        at += len.max(1);
    }
    out.finish()
}

/// A `repr` without credentials. It shows values without names: a long word of letters and digits counts, too.
pub(crate) fn redact_repr(repr: String) -> String {
    let redacted = redact_text(&repr).unwrap_or(repr);
    redact_random_words(&redacted).unwrap_or(redacted)
}
