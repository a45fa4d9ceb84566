//! Credentials in the URLs of content: the password before a host, and parameters of a query.
//!
//! Content (a prompt, a tool, a stop word) stays as the program sent it, but for these parts. The keys of recordings depend on the
//! result: a change of these rules would separate existing recordings from their requests. `tests/recorder/test_redaction_texts.py`
//! compares them with their definition as patterns.

use memchr::{memchr_iter, memmem};

use super::output::Output;

/// Google names its API key `key`. A shorter value under that name may be a dictionary key.
const SHORTEST_KEY: usize = 20;

/// The text with the credentials of its URLs replaced; None when it contains none. Takes time in proportion to the length.
pub(crate) fn redact_urls(text: &str) -> Option<String> {
    // Most texts have no colon, and a search for one byte needs no preparation.
    memchr_iter(b':', text.as_bytes()).find(|at| text.as_bytes()[at + 1..].starts_with(b"//"))?;
    let without_users = if text.contains('@') { redact_users(text) } else { None };
    let known = without_users.as_deref().unwrap_or(text);
    let without_parameters = if known.contains('?') { redact_queries(known) } else { None };
    without_parameters.or(without_users)
}

/// Replaces `user:password` between `://` and `@`.
fn redact_users(text: &str) -> Option<String> {
    let mut out = Output::new(text);
    let mut from = 0;
    for at in memmem::find_iter(text.as_bytes(), b"://") {
        if at < from || !has_scheme(text, from, at) {
            continue;
        }
        let info = &text[at + 3..];
        let user = length_until(info, |char| is_space(char) || matches!(char, '/' | ':' | '@'));
        let Some(password) = info[user..].strip_prefix(':') else { continue };
        let len = length_until(password, |char| is_space(char) || matches!(char, '/' | '@'));
        if len > 0 && password[len..].starts_with('@') {
            from = at + 3 + user + 1 + len;
            out.replace(at + 3, from);
            from += 1;
        }
    }
    out.finish()
}

/// Replaces the values of parameters in queries. A URL in running text ends before a quote, a bracket or a space.
fn redact_queries(text: &str) -> Option<String> {
    let mut out = Output::new(text);
    let mut from = 0;
    for at in memmem::find_iter(text.as_bytes(), b"://") {
        // A URL inside a URL is a part of the outer one.
        if at < from || !has_scheme(text, from, at) {
            continue;
        }
        let path = at + 3;
        let mark = path
            + length_until(&text[path..], |char| is_space(char) || matches!(char, '?' | '"' | '\'' | '<' | '>' | '`'));
        from = mark;
        let Some(query) = text[mark..].strip_prefix('?') else { continue };
        let len = length_until(query, |char| is_space(char) || matches!(char, '"' | '\'' | '<' | '>' | '`' | ')'));
        let mut part_at = mark + 1;
        for part in query[..len].split(['&', ';', '#']) {
            if let Some((start, end)) = credential_in(part) {
                out.replace(part_at + start, part_at + end);
            }
            part_at += part.len() + 1;
        }
        from = mark + 1 + len;
    }
    out.finish()
}

/// Where the value of a parameter is, if its name is one of a credential.
fn credential_in(parameter: &str) -> Option<(usize, usize)> {
    let name_at = parameter.len() - parameter.trim_start_matches('=').len();
    let (name, value) = parameter[name_at..].split_once('=')?;
    if name.is_empty() || value.is_empty() {
        return None;
    }
    let is_key = name.eq_ignore_ascii_case("key") && value.chars().count() >= SHORTEST_KEY;
    let is_credential = is_key || is_url_credential(name) || is_signature(name.as_bytes());
    is_credential.then(|| (parameter.len() - value.len(), parameter.len()))
}

/// Whether a parameter of a URL signs it.
pub(super) fn is_signature(name: &[u8]) -> bool {
    const NAMES: [&str; 2] = ["sig", "signature"];
    const VENDORS: [&str; 3] = ["x-amz-", "x-goog-", "x-ms-"];
    const ENDS: [&str; 3] = ["credential", "security-token", "signature"];
    NAMES.iter().any(|one| name.eq_ignore_ascii_case(one.as_bytes()))
        || VENDORS.iter().any(|vendor| {
            name.get(..vendor.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(vendor.as_bytes()))
                && ENDS.iter().any(|end| name[vendor.len()..].eq_ignore_ascii_case(end.as_bytes()))
        })
}

/// Whether a parameter of this name in a URL of content holds a credential. The list has only words with one meaning.
pub(crate) fn is_url_credential(name: &str) -> bool {
    const WORDS: [&str; 11] = [
        "authorization",
        "cookie",
        "cookies",
        "credential",
        "credentials",
        "passphrase",
        "passwd",
        "password",
        "passwords",
        "secret",
        "secrets",
    ];
    const KEYS: [&str; 4] = ["api", "access", "private", "subscription"];
    const TOKENS: [&str; 14] = [
        "access", "api", "auth", "bearer", "bot", "github", "hf", "hub", "id", "jwt", "private", "refresh", "security",
        "session",
    ];
    const AUTHS: [&str; 4] = ["basic", "http", "proxy", "x"];
    let spaced = with_camel_case_split(name);
    let is_key = |word: &str| word == "key" || word == "keys";
    let joined = |word: &str, begins: &[&str], is_end: &dyn Fn(&str) -> bool| {
        begins.iter().any(|begin| word.strip_prefix(begin).is_some_and(is_end))
    };
    let is_credential = |before: Option<&str>, word: &str| {
        WORDS.contains(&word)
            || joined(word, &KEYS, &is_key)
            || (is_key(word) && before.is_some_and(|before| KEYS.contains(&before)))
    };
    let (mut before, mut last, mut count) = (None, None, 0);
    // The `$` of a Python pattern also matches before a final newline.
    for word in spaced.strip_suffix('\n').unwrap_or(&spaced).split(|char: char| char == '_' || !char.is_alphanumeric())
    {
        (before, last, count) = (last, Some(word), count + 1);
        if is_credential(before, word) {
            return true;
        }
    }
    match last.unwrap_or("") {
        "token" => before.map_or(count == 1, |before| TOKENS.contains(&before)),
        "auth" => count == 1 || (count == 2 && before.is_some_and(|before| AUTHS.contains(&before))),
        last => {
            joined(last, &TOKENS, &|end| end == "token") || (count == 1 && joined(last, &AUTHS, &|end| end == "auth"))
        }
    }
}

/// The name in lower case, with a sign before each capital that begins a word.
fn with_camel_case_split(name: &str) -> String {
    let mut spaced = String::with_capacity(name.len() + 4);
    let mut before = ' ';
    for char in name.chars() {
        if char.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_digit()) {
            spaced.push('_');
        }
        spaced.push(char.to_ascii_lowercase());
        before = char;
    }
    spaced
}

/// Whether a scheme stands before the `://` at `at`: a letter at the begin of a word, and behind it letters, digits, `+`, `.`, `-`.
fn has_scheme(text: &str, from: usize, at: usize) -> bool {
    let bytes = text.as_bytes();
    let mut start = at;
    while start > from {
        let byte = bytes[start - 1];
        if !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'.' | b'-')) {
            break;
        }
        start -= 1;
        if byte.is_ascii_alphabetic() && !ends_with_word(text, start) {
            return true;
        }
    }
    false
}

fn ends_with_word(text: &str, at: usize) -> bool {
    text[..at].chars().next_back().is_some_and(|char| char == '_' || char.is_alphanumeric())
}

fn length_until(text: &str, stops: impl Fn(char) -> bool) -> usize {
    text.find(stops).unwrap_or(text.len())
}

/// White space as Python's patterns have it.
fn is_space(char: char) -> bool {
    char.is_whitespace() || matches!(char, '\u{1c}'..='\u{1f}')
}
