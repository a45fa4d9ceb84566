//! Assignments in running text: `name=value`, `name: value`, `"name": "value"`, and their relatives.

use super::bytes::{is_name, length, length_back};
use super::names::{self, Name};
use super::tokens::is_prose;
use super::urls::is_signature;
use super::value::{self, LONG, MAX_GAP, MAX_NAME, Value};

/// A text, and how far the walk over it has come.
pub(super) struct Walk<'a> {
    pub(super) text: &'a [u8],
    /// Everything before this index is written.
    pub(super) done: usize,
    /// The end of the URL around the current index.
    pub(super) url_end: usize,
}

/// The part of a text that is replaced.
pub(super) type Part = Option<(usize, usize)>;

impl Walk<'_> {
    /// The value of `name=value`, `name: value`, `"name": "value"` and other spellings of an assignment, if the name is one of a
    /// credential. `at` is the index of `=` or `:`.
    pub(super) fn assignment(&self, at: usize) -> Part {
        let sign = self.text[at];
        let in_url = at < self.url_end;
        let (start, end, is_quoted) = self.name_before(at)?;
        let name = &self.text[start..end];
        let mut meaning = names::meaning(name);
        if in_url && sign == b'=' && is_signature(name) {
            meaning = Name::Credential;
        }
        let mut is_single = !name.iter().any(|byte| matches!(byte, b'_' | b'-' | b'.' | b'A'..=b'Z'));
        if meaning == Name::Plain {
            if is_quoted {
                return None;
            }
            meaning = self.words_before(start, end)?;
            is_single = false;
        }
        let is_assigned = sign == b'=' || is_quoted;
        let is_key = name.eq_ignore_ascii_case(b"key");
        let is_text = matches!(meaning, Name::Text | Name::Random);
        let is_vague = is_key || (!is_assigned && (is_text || (is_single && !is_password(name))));
        // The length of a URL decides nothing, and the walk replaces the credentials in it.
        if is_vague && memchr::memmem::find(&self.text[at..self.text.len().min(at + LONG)], b"://").is_some() {
            return None;
        }
        let mut value = value::value(self.text, at + 1, sign, in_url, meaning == Name::Credential && is_assigned)?;
        if is_authorization(name) && self.add_credential(&mut value, sign) {
            return Some((value.start, value.end));
        }
        let shown = &self.text[value.start..value.end];
        let is_kept = if is_text || (is_single && name.eq_ignore_ascii_case(b"token")) {
            shown.iter().all(u8::is_ascii_digit)
                || ((meaning == Name::Random || !is_assigned) && !value::is_random(shown, in_url && is_key))
        } else if is_assigned {
            false
        } else if value.is_quoted {
            is_single && !value::is_random(shown, false) && !is_password(name)
        } else {
            self.is_sentence(&value, is_single && !is_password(name))
        };
        (!is_kept).then_some((value.start, value.end))
    }

    /// The name before a sign: its begin, its end, and whether it is in quotes.
    fn name_before(&self, at: usize) -> Option<(usize, usize, bool)> {
        let before =
            |end: usize, most: usize, is: fn(u8) -> bool| end - length_back(&self.text[self.done..end], most, is);
        let mut end = before(at, MAX_GAP, |byte| byte == b' ');
        // os.environ["API_KEY"] = "..."
        end = before(end, 1, |byte| byte == b']');
        let quoted = before(end, 1, |byte| byte == b'"' || byte == b'\'');
        let is_quoted = quoted < end;
        end = before(quoted, if is_quoted { MAX_GAP } else { 0 }, |byte| byte == b'\\');
        let start = before(end, MAX_NAME, is_name);
        (start < end).then_some((start, end, is_quoted))
    }

    /// The meaning of two words before a sign, as in `API key: ...` and `API key provided: ...`.
    pub(super) fn words_before(&self, start: usize, end: usize) -> Option<Name> {
        const SUFFIXES: [&[u8]; 6] = [b"provided", b"given", b"supplied", b"received", b"used", b"is"];
        let word_before = |start: usize| {
            let space = start.checked_sub(1).filter(|at| *at >= self.done && self.text[*at] == b' ')?;
            let begin = space - length_back(&self.text[self.done..space], MAX_NAME, is_name);
            (begin < space).then_some((begin, space))
        };
        let is_suffix = SUFFIXES.iter().any(|suffix| self.text[start..end].eq_ignore_ascii_case(suffix));
        let (start, end) = if is_suffix { word_before(start)? } else { (start, end) };
        let alone = if is_suffix { names::meaning(&self.text[start..end]) } else { Name::Plain };
        let meaning = match alone {
            Name::Credential => alone,
            _ => names::meaning(&self.text[word_before(start)?.0..end]),
        };
        (meaning == Name::Credential).then_some(meaning)
    }

    /// Adds the parts of a header's value that stand behind a space: `Bearer ...`, the parts of a cookie. False without any.
    fn add_credential(&self, value: &mut Value, sign: u8) -> bool {
        const SCHEMES: [&[u8]; 6] = [b"bearer", b"basic", b"token", b"apikey", b"negotiate", b"key"];
        const LINES: [&[u8]; 2] = [b"digest", b"aws4-hmac-sha256"];
        let text = self.text;
        if value.is_quoted || !matches!(text.get(value.end), Some(b' ' | b';' | b'\n')) {
            return false;
        }
        let shown = &text[value.start..value.end];
        let is_one = |words: &[&[u8]]| words.iter().any(|word| shown.eq_ignore_ascii_case(word));
        if is_one(&SCHEMES) {
            let next = value.end + length(&text[value.end..], |byte| matches!(byte, b' ' | b'\n' | b'\r'));
            let end = value::unquoted_end(self.text, next, false);
            value.end = value.end.max(end);
            return end > next;
        }
        let is_parameters = is_one(&LINES);
        let is_line = is_parameters || (sign == b':' && shown.contains(&b'='));
        if is_line {
            // The parameters are in quotes. A quote behind a cookie ends the text around it.
            let ends = |byte| matches!(byte, b'\n' | b'\r') || (!is_parameters && matches!(byte, b'"' | b'\''));
            value.end += length(&text[value.end..], |byte| !ends(byte));
            return true;
        }
        // Another scheme, such as `NTLM`.
        let next = value.end + 1;
        let end = value::unquoted_end(text, next, false);
        let is_other = text[value.end] == b' ' && end > next && value::is_random(&text[next..end], false);
        if is_other {
            value.end = end;
        }
        is_other
    }

    /// Whether the words behind `password:` are a sentence about the password, and not the password.
    fn is_sentence(&self, value: &Value, is_weak: bool) -> bool {
        let shown = &self.text[value.start..value.end];
        if is_prose(shown) {
            return true;
        }
        if is_weak {
            return !value::is_random(shown, false);
        }
        let is_word = shown.iter().all(u8::is_ascii_lowercase);
        let behind = self.text.get(value.end..).unwrap_or_default();
        is_word && behind.first() == Some(&b' ') && behind.get(1).is_some_and(u8::is_ascii_alphabetic)
    }
}

fn is_password(name: &[u8]) -> bool {
    [&b"password"[..], b"passwd", b"pwd", b"passphrase", b"authorization", b"cookie", b"bearer"]
        .iter()
        .any(|one| name.eq_ignore_ascii_case(one))
}

/// Whether a header of this name has a scheme or several parts in its value.
fn is_authorization(name: &[u8]) -> bool {
    let ends = |end: &[u8]| name.len() >= end.len() && name[name.len() - end.len()..].eq_ignore_ascii_case(end);
    ends(b"authorization") || ends(b"cookie") || ends(b"auth")
}
