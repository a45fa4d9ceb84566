//! Values right behind the name of a credential without an assignment: `api_key 'x'`, `token (x)`, `api_key%3Dx`.
//!
//! Such a text may also speak about the credential. So only a value that looks random counts.

use super::assignment::{Part, Walk};
use super::bytes::{is_name, length, length_back, length_to};
use super::names::{self, Name};
use super::output::REDACTED;
use super::value::{MAX_NAME, is_mixed, is_words};

/// The most parts between a name and its value.
const MAX_PARTS: usize = 12;
/// The most bytes of a value that decide whether it looks random. The time of the walk stays linear.
const MAX_DECIDING: usize = 96;
/// The shortest random value. `token` alone is also a word of parsers, so its value must be longer.
const SHORTEST: usize = 8;
const SHORTEST_TOKEN: usize = 12;
/// Parts between a name and its value that are letters: words, and encoded signs.
#[rustfmt::skip]
const LINKS: [&[u8]; 22] = [
    b"is", b"was", b"of", b"value", b"provided", b"given", b"supplied", b"received", b"used", b"%3d", b"%3a", b"%20", b"%22",
    b"%27", b"&quot;", b"&#34;", b"&#39;", b"&#x27;", b"&apos;", b"&gt;", b"b'", b"b\"",
];

impl Walk<'_> {
    /// The random value behind the name that ends with the word at these indices.
    pub(super) fn labelled(&self, word: usize, end: usize) -> Part {
        let text = self.text;
        if end - word > MAX_NAME || !names::may_be_credential(&text[word..end]) {
            return None;
        }
        let mut start = end - length_back(&text[self.done..end], MAX_NAME, is_name);
        if start > 0 && text[start - 1] == b'%' {
            // An encoded sign stands before the name: `%22api_key`.
            start = end.min(start + 2);
        }
        let name = &text[start..end];
        let is_credential = names::meaning(name) == Name::Credential
            || name.eq_ignore_ascii_case(b"bearer")
            || self.words_before(start, end).is_some();
        let is_token = name.ends_with(b"token") || name.ends_with(b"TOKEN") || name.ends_with(b"Token");
        let is_random = is_token && names::meaning(name) == Name::Random;
        if !is_credential && !is_random {
            return None;
        }
        let value = self.behind(end)?;
        let len = length_to(&text[value..], MAX_DECIDING, is_value);
        let shown = &text[value..value + len];
        let shortest = if is_token && (!is_credential || name.len() == 5) { SHORTEST_TOKEN } else { SHORTEST };
        let is_other =
            shown.starts_with(b"0x") || is_date(shown) || is_words(shown) || text.get(value + len) == Some(&b'@');
        if len < shortest || !is_mixed(shown) || is_other {
            return None;
        }
        let end = value + length(&text[value..], is_value);
        let stops = length_back(&text[value..end], usize::MAX, |byte| matches!(byte, b'.' | b'!'));
        Some((value, end - stops))
    }

    /// The index of the value behind a name. None when an assignment decides, or when a sentence ends.
    fn behind(&self, end: usize) -> Option<usize> {
        let text = self.text;
        let mut at = end;
        for _ in 0..MAX_PARTS {
            let rest = &text[at..];
            let byte = *rest.first()?;
            if rest.starts_with(REDACTED.as_bytes()) || rest.starts_with(b"://") {
                return None;
            }
            if matches!(byte, b'=' | b':') && self.assignment(at).is_some() {
                return None;
            }
            let link = LINKS.iter().find(|link| {
                rest.get(..link.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(link))
                    && (!link[0].is_ascii_alphabetic()
                        || !rest.get(link.len()).is_some_and(u8::is_ascii_alphanumeric)
                        || link.len() == 2 && link[0] == b'b')
            });
            at += match (byte, link) {
                (_, Some(link)) => link.len(),
                (b'\x1b', _) => escape(rest)?,
                (b'.' | b';' | b'/' | b'?' | b'!' | b'&' | b'%' | b'@', _) => return None,
                (b' ' | b'\t', _) => length_to(rest, 64, |one| one == byte),
                _ if byte.is_ascii_alphanumeric() || byte == b'_' => return (at > end).then_some(at),
                _ => 1,
            };
        }
        None
    }
}

/// The length of a terminal's escape sequence.
fn escape(rest: &[u8]) -> Option<usize> {
    let parameters = length_to(rest.strip_prefix(b"\x1b[")?, 16, |byte| byte.is_ascii_digit() || byte == b';');
    rest.get(2 + parameters).map(|_| 3 + parameters)
}

fn is_date(value: &[u8]) -> bool {
    length(value, |byte| byte.is_ascii_digit()) == 4 && value.get(4) == Some(&b'-')
}

fn is_value(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'_' | b'-' | b'.' | b'/' | b'+' | b'=' | b'~' | b'!' | b'#' | b'$' | b'^')
}
