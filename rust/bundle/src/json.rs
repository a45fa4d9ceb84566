//! One pass over the bytes of a JSON text: whether it is one line of valid JSON, and the members of its outermost object.
//!
//! A body of 4 KB takes about two microseconds. It passes if it is UTF-8, has no lone surrogate, and
//! is not nested too deeply. Then every parser of JSON reads it.

use std::ops::Range;

use crate::limits;

/// Whether a text fits the format, or else why it does not.
pub type Fit<T = ()> = std::result::Result<T, &'static str>;

const NOT_JSON: &str = "a body is not JSON";
/// 64 levels of depth in each number: a bit is set for an object.
const WORDS: usize = limits::DEPTH.div_ceil(64);

/// Checks a text, and passes each member of the outermost object on: the raw bytes of its key and of its value.
///
/// # Errors
/// The reason why the text is not one line of JSON that every reader accepts.
pub fn scan<'b>(text: &'b [u8], mut member: impl FnMut(&'b [u8], &'b [u8])) -> Fit {
    if std::str::from_utf8(text).is_err() {
        return Err("a body is not UTF-8");
    }
    let mut scanner = Scanner { text, at: 0, depth: 0, is_object: [0; WORDS] };
    let (mut key, mut value) = (0..0, 0);
    scanner.blanks()?;
    loop {
        // A value begins here.
        if scanner.depth == 1 {
            value = scanner.at;
        }
        if let Some(opened) = scanner.begin_value()? {
            scanner.blanks()?;
            if scanner.take(if opened == b'{' { b'}' } else { b']' }) {
                scanner.depth -= 1;
            } else {
                if opened == b'{' {
                    let found = scanner.key()?;
                    if scanner.depth == 1 {
                        key = found;
                    }
                }
                continue;
            }
        }
        // A value has ended here.
        loop {
            if scanner.depth == 0 {
                scanner.blanks()?;
                return if scanner.at == text.len() { Ok(()) } else { Err(NOT_JSON) };
            }
            let in_object = scanner.in_object();
            if scanner.depth == 1 && in_object {
                member(&text[key.clone()], &text[value..scanner.at]);
            }
            scanner.blanks()?;
            if scanner.take(b',') {
                scanner.blanks()?;
                if in_object {
                    let found = scanner.key()?;
                    if scanner.depth == 1 {
                        key = found;
                    }
                }
                break;
            }
            if !scanner.take(if in_object { b'}' } else { b']' }) {
                return Err(NOT_JSON);
            }
            scanner.depth -= 1;
        }
    }
}

/// The text of a value that is a text.
pub fn text(value: &[u8]) -> Option<String> {
    serde_json::from_slice(value).ok()
}

/// The texts in a list, and the texts in its tagged values.
pub fn texts(list: &[u8]) -> Vec<String> {
    let elements: Vec<serde_json::Value> = serde_json::from_slice(list).unwrap_or_default();
    let text = |element: &serde_json::Value| element.as_str().or_else(|| element.get("v")?.as_str()).map(str::to_owned);
    elements.iter().filter_map(text).collect()
}

struct Scanner<'b> {
    text: &'b [u8],
    at: usize,
    depth: usize,
    is_object: [u64; WORDS],
}

impl Scanner<'_> {
    fn peek(&self) -> u8 {
        // No JSON has a zero where a byte decides.
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }

    fn blanks(&mut self) -> Fit {
        while matches!(self.peek(), b' ' | b'\t' | b'\r') {
            self.at += 1;
        }
        if self.peek() == b'\n' { Err("a body has more than one line") } else { Ok(()) }
    }

    fn in_object(&self) -> bool {
        let level = self.depth - 1;
        self.is_object[level / 64] >> (level % 64) & 1 == 1
    }

    /// Passes a value without parts, or opens an array or an object.
    fn begin_value(&mut self) -> Fit<Option<u8>> {
        let first = self.peek();
        match first {
            b'"' => self.string()?,
            b'{' | b'[' => {
                if self.depth == limits::DEPTH {
                    return Err("a body is nested too deeply");
                }
                let (word, bit) = (self.depth / 64, 1 << (self.depth % 64));
                self.is_object[word] = self.is_object[word] & !bit | if first == b'{' { bit } else { 0 };
                self.depth += 1;
                self.at += 1;
                return Ok(Some(first));
            }
            b't' => self.literal(b"true")?,
            b'f' => self.literal(b"false")?,
            b'n' => self.literal(b"null")?,
            _ => self.number()?,
        }
        Ok(None)
    }

    fn literal(&mut self, word: &[u8]) -> Fit {
        if !self.text[self.at..].starts_with(word) {
            return Err(NOT_JSON);
        }
        self.at += word.len();
        Ok(())
    }

    fn digits(&mut self) -> usize {
        let from = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        self.at - from
    }

    fn number(&mut self) -> Fit {
        self.take(b'-');
        let has_digits = self.take(b'0') || self.digits() > 0;
        let has_fraction = !self.take(b'.') || self.digits() > 0;
        let has_exponent = !matches!(self.peek(), b'e' | b'E') || {
            self.at += 1;
            let _ = self.take(b'+') || self.take(b'-');
            self.digits() > 0
        };
        if has_digits && has_fraction && has_exponent { Ok(()) } else { Err(NOT_JSON) }
    }

    /// Passes a key and its colon, and returns the range of the key between its quotes.
    fn key(&mut self) -> Fit<Range<usize>> {
        if self.peek() != b'"' {
            return Err(NOT_JSON);
        }
        let from = self.at + 1;
        self.string()?;
        let key = from..self.at - 1;
        self.blanks()?;
        if !self.take(b':') {
            return Err(NOT_JSON);
        }
        self.blanks()?;
        Ok(key)
    }

    fn string(&mut self) -> Fit {
        self.at += 1;
        loop {
            self.at += plain(&self.text[self.at..]);
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => self.escape()?,
                b'\n' => return Err("a body has more than one line"),
                _ => return Err(NOT_JSON),
            }
        }
    }

    fn escape(&mut self) -> Fit {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => match self.unit()? {
                0xd800..=0xdbff => {
                    let is_pair = self.text[self.at..].starts_with(b"\\u") && (0xdc00..=0xdfff).contains(&self.unit()?);
                    if !is_pair {
                        return Err("a body has a lone surrogate");
                    }
                }
                0xdc00..=0xdfff => return Err("a body has a lone surrogate"),
                _ => {}
            },
            _ => return Err(NOT_JSON),
        }
        Ok(())
    }

    /// Passes `\u` and four digits.
    fn unit(&mut self) -> Fit<u32> {
        let digits = self.text.get(self.at + 2..self.at + 6).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let number = digits.and_then(|digits| std::str::from_utf8(digits).ok()).map(|hex| u32::from_str_radix(hex, 16));
        let Some(Ok(number)) = number else { return Err(NOT_JSON) };
        self.at += 6;
        Ok(number)
    }
}

/// The number of bytes before the first quote, backslash or control character, or all of them.
fn plain(text: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 128;
    // A byte of the result has its high bit set if the byte was zero. Bytes above the first such byte may be wrong.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let is_plain = |byte: &u8| !matches!(byte, b'"' | b'\\' | 0..0x20);
    let mut at = 0;
    while let Some(bytes) = text.get(at..).and_then(|rest| rest.first_chunk()) {
        let word = u64::from_le_bytes(*bytes);
        let found =
            zero(word ^ (ONES * 0x22)) | zero(word ^ (ONES * 0x5c)) | (word.wrapping_sub(ONES * 0x20) & !word & HIGH);
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + text[at..].iter().take_while(|byte| is_plain(byte)).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn members(text: &str) -> Vec<(&str, &str)> {
        let (mut found, as_text) = (Vec::new(), |bytes| std::str::from_utf8(bytes).unwrap());
        scan(text.as_bytes(), |key, value| found.push((as_text(key), as_text(value)))).unwrap();
        found
    }

    #[test]
    fn the_members_of_the_outermost_object_are_found() {
        let text = r#"{"a" : {"b":1,"c":[{}]}, "d\"":"\"}" ,"e":[ ],"f":-0.5e+3 }"#;
        assert_eq!(
            members(text),
            [("a", r#"{"b":1,"c":[{}]}"#), ("d\\\"", r#""\"}""#), ("e", "[ ]"), ("f", "-0.5e+3")]
        );
        assert_eq!(members(r#"[{"a":1},{"b":[]}]"#), []);
        assert_eq!(members("{}"), []);
        assert_eq!(members(" 12 "), []);
    }

    #[test]
    fn text_that_some_reader_refuses_does_not_pass() {
        for text in [
            "",
            " ",
            "{",
            "}",
            "{}{}",
            "[1,]",
            "[,1]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{1:1}",
            "[1 2]",
            "01",
            "-",
            "+1",
            "1.",
            ".5",
            "1e",
            "1e+",
            "0x1",
            "nul",
            "truee",
            "NaN",
            "'a'",
            "\"",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\t\"",
            "\"\u{1f}\"",
            "[\"a\"",
            "[}",
            "{]",
            "{}\n",
            "\n{}",
            "[1,\n2]",
            "\"a\nb\"",
            "{\"a\"\n:1}",
            "\"\\ud800\"",
            "\"\\udc00\"",
            "\"\\ud800\\u0041\"",
            "\"\\ud800\\\"",
            "\u{feff}{}",
            "\"\\ud800\\ud800\"",
            "{\"a\":\"\\udfff\"}",
        ] {
            assert!(scan(text.as_bytes(), |_, _| ()).is_err(), "{text:?}");
        }
        for bytes in [&b"\"\xff\""[..], b"\xed\xa0\x80", b"\"\xed\xa0\x80\"", b"\"\xc0\x80\"", b"{}\0", b"\0"] {
            assert!(scan(bytes, |_, _| ()).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn the_depth_is_limited() {
        for opening in ["[", "{\"a\":"] {
            let nested = |depth: usize| {
                let closing = if opening == "[" { "]" } else { "}" };
                let inner = if opening == "[" { "" } else { "1" };
                format!("{}{inner}{}", opening.repeat(depth), closing.repeat(depth))
            };
            assert!(scan(nested(limits::DEPTH).as_bytes(), |_, _| ()).is_ok());
            assert!(scan(nested(limits::DEPTH + 1).as_bytes(), |_, _| ()).is_err());
        }
        let mixed = "[{\"a\":".repeat(200) + "1" + &"}]".repeat(200);
        assert!(scan(mixed.as_bytes(), |_, _| ()).is_ok());
    }

    fn value() -> impl Strategy<Value = Value> {
        let text = "[a-z\"\\\\\u{0}\u{1f}\u{7f}\u{e9}\u{1f600} ]{0,20}";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 60, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(text, inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

        #[test]
        fn it_agrees_with_serde_json(value in value(), edits in prop::collection::vec((any::<usize>(), any::<u8>()), 0..3)) {
            let mut text = serde_json::to_vec(&value).unwrap();
            for (at, byte) in edits {
                let at = at % text.len();
                text[at] = byte;
            }
            let mut found = Vec::new();
            let passed = scan(&text, |key, value| found.push((key, value)));
            // serde_json permits line feeds, and refuses lone surrogates as this does.
            let parsed = serde_json::from_slice::<Value>(&text).ok().filter(|_| !text.contains(&b'\n'));
            // It also refuses numbers that no f64 holds.
            let is_huge = text.windows(2).any(|pair| matches!(pair, [b'e' | b'E', _]));
            prop_assert!(passed.is_ok() == parsed.is_some() || is_huge, "{passed:?} {}", String::from_utf8_lossy(&text));
            if let (Ok(()), Some(Value::Object(object))) = (passed, parsed) {
                let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
                let key_of = |key: &[u8]| read(&[b"\"", key, b"\""].concat()).as_str().unwrap().to_owned();
                // The last of equal keys counts in both.
                let members: serde_json::Map<_, _> = found.into_iter().map(|(key, value)| (key_of(key), read(value))).collect();
                prop_assert_eq!(members, object);
            }
        }
    }
}
