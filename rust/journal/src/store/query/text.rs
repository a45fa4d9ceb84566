//! Searches bodies for a text, in any case of its letters, and in any JSON escape of its characters.
//!
//! Text and body are compared in Unicode's normal form NFC, with each character in its simple case folding. `Ü` finds `ü`, composed
//! or not, and `ς` finds `Σ`. No character but `İ` becomes two: `ß` does not find `ss`. A search for ASCII goes byte by
//! byte, except in a body with one of the two letters beyond ASCII that fold to ASCII.

use memchr::memmem::{Finder, find};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::Result;
use crate::os::allocation;

/// A folded text takes up to this many times its bytes: strings double their memory.
const FOLDED: usize = 4;
/// The first character that may compose with the character before it.
const FIRST_COMBINING: char = '\u{300}';
/// `İ`, which has no simple case folding.
const DOTTED_I: char = '\u{130}';

/// The long s `ſ` and the Kelvin sign, which fold to `s` and `k`.
const FOLDED_TO_ASCII: [&[u8]; 2] = ["\u{17f}".as_bytes(), "\u{212a}".as_bytes()];

/// A text to find in bodies.
#[derive(Debug)]
pub struct TextSearch {
    finder: Finder<'static>,
    /// Finds escapes. Building it for each body would cost as much as the search.
    escape: Finder<'static>,
    is_ascii: bool,
}

impl TextSearch {
    /// A search for this text.
    pub fn new(text: &str) -> Self {
        let escaped = json_escaped(&folded(text));
        Self { is_ascii: escaped.is_ascii(), finder: Finder::new(&escaped).into_owned(), escape: Finder::new(b"\\u") }
    }

    /// Whether a body, which is JSON, contains the text. Changes the case of the body's ASCII letters.
    ///
    /// # Errors
    /// When the process has no memory for another form of the body.
    pub fn is_in(&self, body: &mut [u8]) -> Result<bool> {
        body.make_ascii_lowercase();
        if self.is_in_unescaped(body)? {
            return Ok(true);
        }
        // JSON within JSON has another backslash in front of each escape.
        Ok(self.escape.find(body).is_some() && self.is_in_unescaped(&unescaped(body)?)?)
    }

    fn is_in_unescaped(&self, body: &[u8]) -> Result<bool> {
        if self.is_ascii && self.finder.find(body).is_some() {
            return Ok(true);
        }
        if body.is_ascii() || (self.is_ascii && !FOLDED_TO_ASCII.iter().any(|letter| find(body, letter).is_some())) {
            return Ok(false);
        }
        // The folding makes up to this many bytes.
        drop(allocation::with_room(FOLDED * body.len())?);
        Ok(self.finder.find(folded(&String::from_utf8_lossy(body)).as_bytes()).is_some())
    }
}

/// The text in NFC, each character in its simple case folding.
///
/// Some marks compose with a letter of one case alone: `h` has one with a line below, and `H` has not. So the text is composed again
/// after the folding.
fn folded(text: &str) -> String {
    let mut once: String =
        if is_composed(text) { text.chars().map(fold).collect() } else { text.nfc().map(fold).collect() };
    // A body has its ASCII letters in lower case, so its decomposed İ is an i with a dot above.
    if once.contains(DOTTED_I) {
        once = once.replace(DOTTED_I, "i\u{307}");
    }
    if is_composed(&once) { once } else { once.nfc().collect() }
}

fn is_composed(text: &str) -> bool {
    text.chars().all(|character| character < FIRST_COMBINING) || is_nfc_quick(text.chars()) == IsNormalized::Yes
}

/// The simple case folding of a character, as Unicode's `CaseFolding.txt` has it: the lower case of its upper case, where each is one
/// character.
fn fold(character: char) -> char {
    if character.is_ascii() {
        return character.to_ascii_lowercase();
    }
    // The upper case of a dotless i is I, which folds to i. Unicode keeps the two apart.
    if character == '\u{131}' {
        return character;
    }
    let one = |mut mapped: std::char::ToUppercase| mapped.next().filter(|_| mapped.next().is_none());
    let upper = one(character.to_uppercase()).unwrap_or(character);
    let mut lower = upper.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(lower), None) => lower,
        _ => upper,
    }
}

/// The body with the characters of its `\u` escapes, in lower case. A character that JSON must escape keeps an escape.
fn unescaped(body: &[u8]) -> Result<Vec<u8>> {
    let mut plain = allocation::with_room(body.len())?;
    let mut rest = body;
    while let Some(at) = find(rest, b"\\u") {
        let (before, escape) = rest.split_at(at);
        plain.extend_from_slice(before);
        let Some((character, length)) = escaped_character(escape) else {
            plain.extend_from_slice(&escape[..2]);
            rest = &escape[2..];
            continue;
        };
        while plain.last() == Some(&b'\\') {
            plain.pop();
        }
        let mut utf8 = [0; 4];
        plain.extend_from_slice(json_escaped(fold(character).encode_utf8(&mut utf8)).as_bytes());
        rest = &escape[length..];
    }
    plain.extend_from_slice(rest);
    Ok(plain)
}

/// The character of an escape at the start of these bytes, and the length of the escape. Two escapes may stand for one character.
fn escaped_character(bytes: &[u8]) -> Option<(char, usize)> {
    let unit = |bytes: &[u8]| -> Option<u16> {
        let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
        digits.iter().all(u8::is_ascii_hexdigit).then_some(())?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let first = unit(bytes)?;
    if let Some(character) = char::from_u32(u32::from(first)) {
        return Some((character, 6));
    }
    let backslashes = bytes[6..].iter().take_while(|byte| **byte == b'\\').count();
    let second = unit(bytes.get(6 + backslashes.checked_sub(1)?..)?)?;
    let character = char::decode_utf16([first, second]).next()?.ok()?;
    Some((character, 6 + backslashes - 1 + 6))
}

/// The text as a JSON string contains it.
fn json_escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '\u{8}' => escaped.push_str("\\b"),
            '\u{c}' => escaped.push_str("\\f"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(text: &str, body: &str) -> bool {
        TextSearch::new(text).is_in(&mut body.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn letters_of_any_script_are_found_in_any_case() {
        for (text, body) in [
            ("ÜNÏCÖDÉ", "a Ünïcödé text"),
            ("ünïcödé", "ÜNÏCÖDÉ"),
            ("ПРИВЕТ", "привет"),
            ("σίσυφος", "ΣΊΣΥΦΟΣ"),
            ("straße", "STRAẞE"),
            ("日本", "日本語"),
            ("GROẞ 𐐀", "groß 𐐨"),
            ("µ", "μ"),
            ("Waſſer", "WASSER"),
            ("293 \u{212a}", "293 k"),
        ] {
            assert!(finds(text, body), "{text} in {body}");
            assert!(finds(body.split(' ').next().unwrap(), body));
        }
        assert!(!finds("ß", "ss"));
        assert!(!finds("ü", "u"));
        assert!(!finds("ı", "i"));
    }

    #[test]
    fn composed_and_decomposed_letters_are_the_same() {
        assert!(finds("CAFÉ", "cafe\u{301}"));
        assert!(finds("cafe\u{301}", "CAFÉ"));
        assert!(finds("한", "\u{1112}\u{1161}\u{11ab}"));
        // Of each pair, one case alone composes with the mark.
        for (upper, lower) in
            [("İ", "i\u{307}"), ("H\u{331}", "ẖ"), ("T\u{308}", "ẗ"), ("W\u{30a}", "ẘ"), ("J\u{30c}", "ǰ")]
        {
            for (text, body) in [(upper, upper), (lower, lower), (upper, lower), (lower, upper)] {
                assert!(finds(text, body), "{text} in {body}");
            }
        }
        assert!(finds("I\u{307}stanbul", "I\u{307}STANBUL"));
        assert!(finds("İstanbul", "I\u{307}stanbul"));
        assert!(!finds("ıstanbul", "İstanbul"));
    }

    #[test]
    fn escaped_characters_are_found() {
        for body in
            [r"Caf\u00e9 \ud83d\ude00", r"CAF\u00C9 \uD83D\uDE00", r"caf\\u00e9 \\ud83d\\ude00", r"caf\\\\u00E9 😀"]
        {
            assert!(finds("CAFÉ 😀", body), "{body}");
            assert!(finds("café", body), "{body}");
        }
        assert!(finds("a<b", r"A\u003cB"));
        assert!(finds("a\nb", r"a\u000ab"));
        assert!(finds("say \"hi\"", r"say \u0022hi\u0022"));
        // The characters of an escape themselves.
        assert!(finds(r"\u00e9", r"\\u00e9"));
        for body in [r"\u", r"\u00", r"\ud83d", r"\ud83d\u0041", r"\ud83d\", r"\u+0e9"] {
            assert!(!finds("é", body), "{body}");
        }
        assert!(finds("é", r"\u00 \u00e9"));
    }

    #[test]
    fn a_body_that_is_not_utf_8_is_searched() {
        assert!(TextSearch::new("É").is_in(&mut b"\xff \xc3\xa9".to_vec()).unwrap());
    }
}
