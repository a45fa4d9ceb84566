//! Secrets whose value is known: replaced in every spelling in which a server may repeat them.

use memchr::memmem;

use super::output::Output;

/// A shorter secret is a placeholder for servers without a key, and may be an ordinary word.
const SHORTEST: usize = 8;
/// The shortest text of base64 that stands for a secret.
const SHORTEST_BASE64: usize = 11;

/// The text with each secret replaced; None when it contains none.
///
/// Capitals make no difference, nor do line breaks within a secret, percent-encoding, and backslashes of JSON. Also found is the
/// base64 of a secret, alone or behind a user name.
pub(super) fn redact_secrets(text: &str, secrets: &[String]) -> Option<String> {
    let mut spellings: Vec<String> =
        secrets.iter().filter(|secret| secret.len() >= SHORTEST).flat_map(|secret| spellings(secret)).collect();
    spellings.sort_unstable();
    spellings.dedup();
    // A search for each spelling is linear, and their number does not depend on the text.
    let mut parts = Vec::new();
    let folded = text.to_ascii_lowercase();
    for spelling in &spellings {
        parts.extend(memmem::find_iter(folded.as_bytes(), spelling).map(|at| (at, at + spelling.len())));
    }
    drop(folded);
    if text.contains(['%', '\\', '\n', '\r']) && u32::try_from(text.len()).is_ok() {
        let decoded = Decoded::new(text.as_bytes());
        for spelling in &spellings {
            parts.extend(memmem::find_iter(&decoded.bytes, spelling).map(|at| decoded.part(at, at + spelling.len())));
        }
    }
    parts.sort_unstable();
    let mut out = Output::new(text);
    let mut open: Option<(usize, usize)> = None;
    for (start, end) in parts {
        match &mut open {
            Some((_, open_end)) if start <= *open_end => *open_end = end.max(*open_end),
            _ => {
                if let Some((start, end)) = open.replace((start, end)) {
                    out.replace(start, end);
                }
            }
        }
    }
    if let Some((start, end)) = open {
        out.replace(start, end);
    }
    out.finish()
}

/// A text in lower case, without line breaks, percent-encoding and backslashes.
struct Decoded<'a> {
    text: &'a [u8],
    bytes: Vec<u8>,
    /// The index in the text of each byte.
    at: Vec<u32>,
}

impl<'a> Decoded<'a> {
    fn new(text: &'a [u8]) -> Self {
        let mut decoded = Self { text, bytes: Vec::with_capacity(text.len()), at: Vec::with_capacity(text.len()) };
        let mut at = 0;
        let mut is_new_line = false;
        while at < text.len() {
            let (byte, len) = decode(text, at);
            match byte {
                Some(b'\n' | b'\r') => is_new_line = true,
                // The next line may be indented.
                Some(b' ' | b'\t') if is_new_line => {}
                Some(byte) => {
                    is_new_line = false;
                    decoded.bytes.push(byte.to_ascii_lowercase());
                    decoded.at.push(u32::try_from(at).unwrap_or(u32::MAX));
                }
                None => {}
            }
            at += len;
        }
        decoded
    }

    /// The part of the text that these bytes come from.
    fn part(&self, start: usize, end: usize) -> (usize, usize) {
        let last = self.at[end - 1] as usize;
        (self.at[start] as usize, last + decode(self.text, last).1)
    }
}

/// The byte that is written at an index, and the length of its spelling. None for the backslash before a byte.
fn decode(text: &[u8], at: usize) -> (Option<u8>, usize) {
    let hex = |from: usize, len: usize| {
        let digits = str::from_utf8(text.get(from..from + len)?).ok()?;
        u8::try_from(u32::from_str_radix(digits, 16).ok()?).ok().filter(u8::is_ascii)
    };
    match (text[at], text.get(at + 1)) {
        (b'%', _) => hex(at + 1, 2).map_or((Some(b'%'), 1), |byte| (Some(byte), 3)),
        (b'\\', Some(b'n' | b'r')) => (Some(b'\n'), 2),
        (b'\\', Some(b'u')) => hex(at + 2, 4).map_or((None, 1), |byte| (Some(byte), 6)),
        (b'\\', _) => (None, 1),
        (byte, _) => (Some(byte), 1),
    }
}

/// The spellings of a secret, in lower case.
fn spellings(secret: &str) -> Vec<String> {
    let mut found = vec![secret.to_owned(), secret.replace('\\', "")];
    for standard in [true, false] {
        found.extend((0..3).filter_map(|behind| base64_within(secret.as_bytes(), behind, standard)));
    }
    for spelling in &mut found {
        spelling.make_ascii_lowercase();
    }
    found.retain(|spelling| spelling.len() >= SHORTEST);
    found
}

/// The part of any base64 text that a secret decides alone, when it begins `behind` bytes after a group of three.
fn base64_within(secret: &[u8], behind: usize, standard: bool) -> Option<String> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bit = |at: usize| {
        let at = at.checked_sub(behind * 8)?;
        secret.get(at / 8).map(|byte| byte >> (7 - at % 8) & 1)
    };
    let letter = |group: usize| {
        let index = (0..6).try_fold(0_u8, |index, at| Some(index << 1 | bit(group * 6 + at)?))?;
        Some(match LETTERS[usize::from(index)] {
            b'+' if !standard => '-',
            b'/' if !standard => '_',
            letter => char::from(letter),
        })
    };
    let groups = ((behind + secret.len()) * 8).div_ceil(6);
    let text: String = (0..groups).filter_map(letter).collect();
    (text.len() >= SHORTEST_BASE64).then_some(text)
}
