//! The value of an assignment in running text.

use memchr::memchr;

use super::bytes::{ends_url, is_name, length, length_back, length_to};
use super::output::REDACTED;

/// The longest name before a value, in bytes.
pub(super) const MAX_NAME: usize = 64;
/// The most spaces or backslashes between the parts of an assignment.
pub(super) const MAX_GAP: usize = 8;
/// A value of this length is a credential under the name `key`, also without digits.
pub(super) const LONG: usize = 20;

/// Where a value is. Containers count as quoted.
pub(super) struct Value {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) is_quoted: bool,
}

/// The value behind a sign; None for a value that holds nothing.
pub(super) fn value(text: &[u8], mut at: usize, sign: u8, in_url: bool, may_be_container: bool) -> Option<Value> {
    let rest = |at: usize| text.get(at..).unwrap_or_default();
    if sign == b':' && text.get(at) == Some(&b':') {
        return None;
    }
    at += length(rest(at), |byte| byte == b'=' || byte == b'>');
    if !in_url {
        at += length(rest(at), |byte| byte == b' ' || byte == b'\t');
    }
    if matches!(text.get(at), Some(b'b' | b'f' | b'r' | b'u')) && matches!(text.get(at + 1), Some(b'"' | b'\'')) {
        at += 1;
    }
    if rest(at).starts_with(REDACTED.as_bytes()) {
        return None;
    }
    let slashes = length_to(rest(at), MAX_GAP, |byte| byte == b'\\');
    let value = match text.get(at + slashes) {
        Some(quote @ (b'"' | b'\'')) if !in_url => {
            let start = at + slashes + 1;
            Value { start, end: closing_quote(text, start, *quote, slashes), is_quoted: true }
        }
        Some(b'{' | b'[' | b'(') if slashes == 0 && !in_url => {
            Value { start: at, end: may_be_container.then(|| closing_bracket(text, at))?, is_quoted: true }
        }
        _ => Value { start: at, end: unquoted_end(text, at, in_url), is_quoted: false },
    };
    let shown = text.get(value.start..value.end)?;
    let is_empty = shown.is_empty()
        || shown.starts_with(REDACTED.as_bytes())
        || shown.iter().all(|byte| *byte == b'*')
        || [&b"none"[..], b"null", b"true", b"false"].iter().any(|word| shown.eq_ignore_ascii_case(word));
    (!is_empty).then_some(value)
}

/// The index of the quote that closes a value, else of the end of its line. In a text within a text the quotes are escaped.
pub(super) fn closing_quote(text: &[u8], start: usize, quote: u8, slashes: usize) -> usize {
    let mut at = start;
    while let Some(len) = memchr(quote, &text[at..]) {
        at += len;
        let escapes = length_back(&text[start..at], usize::MAX, |byte| byte == b'\\');
        let closes = if slashes == 0 { escapes % 2 == 0 } else { escapes <= slashes };
        if closes {
            return at - if slashes == 0 { 0 } else { escapes };
        }
        at += 1;
    }
    start + length(&text[start..], |byte| byte != b'\n')
}

pub(super) fn closing_bracket(text: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in text[start..].iter().enumerate() {
        match byte {
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return start + at + 1;
        }
    }
    text.len()
}

pub(super) fn unquoted_end(text: &[u8], start: usize, in_url: bool) -> usize {
    let mut at = start;
    while let Some(byte) = text.get(at) {
        let ends = match byte {
            b'&' | b';' if in_url => true,
            b'#' => in_url,
            b'&' | b';' | b',' => is_next_field(text, at + 1),
            _ => ends_url(*byte),
        };
        if ends {
            break;
        }
        at += 1;
    }
    // `SecretStr('...')`: the brackets belong to the value.
    if at > start
        && text[at - 1] == b'('
        && let Some(quote @ (b'"' | b'\'')) = text.get(at)
    {
        return text.len().min(closing_quote(text, at + 1, *quote, 0) + 1);
    }
    // A sentence or a bracket may end behind the value.
    let closing = |byte| matches!(byte, b')' | b']' | b'}' | b',' | b'.' | b';' | b':' | b'!' | b'?' | b'\\');
    at - length_back(&text[start..at], usize::MAX, closing)
}

/// Whether a sign ends a value: behind it comes the next name, white space, or the end.
pub(super) fn is_next_field(text: &[u8], at: usize) -> bool {
    let rest = &text[at..text.len().min(at + MAX_NAME)];
    let name = length(rest, is_name);
    rest.first().is_none_or(u8::is_ascii_whitespace)
        || (name > 0 && matches!(rest.get(name), Some(b'=' | b':')))
        || matches!(rest.first(), Some(b'"' | b'\''))
}

/// Whether a value looks made by a machine. An ordinary word is short or has no digits.
pub(super) fn is_random(value: &[u8], only_long: bool) -> bool {
    let is_word = || value.iter().all(|byte| !byte.is_ascii_whitespace()) && !is_words(value);
    value.len() >= LONG && is_word() || (!only_long && value.len() >= 8 && is_mixed(value) && is_word())
}

pub(super) fn is_mixed(value: &[u8]) -> bool {
    value.iter().any(u8::is_ascii_digit) && value.iter().any(u8::is_ascii_alphabetic)
}

/// Whether a value is words with signs between them, such as the name of a model: `claude-3-5-sonnet-20241022`.
pub(super) fn is_words(value: &[u8]) -> bool {
    const LONGEST: usize = 64;
    const VENDORS: [&[u8]; 4] = [b"ant-", b"or-", b"proj-", b"svcacct-"];
    if value.len() > LONGEST || VENDORS.iter().any(|vendor| value.starts_with(vendor)) {
        return false;
    }
    let (mut words, mut count) = (0, 0);
    let parts = || value.split(|byte| matches!(byte, b'-' | b'_' | b'.' | b':' | b'/'));
    let is_word = |part: &[u8]| part.len() >= 3 && part.len() <= 16 && part.iter().all(u8::is_ascii_lowercase);
    // A number of more digits is a date.
    let is_number = |part: &[u8]| {
        part.iter().all(u8::is_ascii_digit) && (part.len() <= 3 || (part.len() <= 8 && part.starts_with(b"2")))
    };
    let is_version = |part: &[u8]| part.len() <= 3 && part.iter().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
    let is_name = parts().all(|part| {
        let is_word = is_word(part);
        words += usize::from(is_word);
        count += 1;
        is_word || is_number(part) || is_version(part)
    });
    is_name && words > 0 && count > 1
}
