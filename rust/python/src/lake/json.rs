//! The JSON of an event, parsed without copies.
//!
//! The parser takes the form that orjson writes: no white space, and one form of each string. So the bytes of a value are the bytes
//! that orjson would write for it, and a column of JSON is a copy of them. Other JSON is [`Unusual`].

use std::borrow::Cow;

use super::node::Node;
pub(super) use super::node::{Kind, Known, Unusual};
use super::parser::parse;

/// A parsed event. The nodes are in the order of the text. Each value of an object is behind the node of its key.
pub(super) struct Tree<'a> {
    text: &'a str,
    nodes: Vec<Node>,
}

/// A value in a [`Tree`].
#[derive(Clone, Copy)]
pub(super) struct Value<'t> {
    tree: &'t Tree<'t>,
    at: usize,
}

impl<'a> Tree<'a> {
    /// Parses an event.
    pub(super) fn parse(event: &'a [u8]) -> Known<Self> {
        // A minimum has no jump out of its loop, so the compiler compares many bytes at once.
        let least = event.iter().copied().min().ok_or(Unusual)?;
        if least < b' ' || u32::try_from(event.len()).is_err() {
            return Err(Unusual);
        }
        let text = str::from_utf8(event).map_err(|_| Unusual)?;
        let nodes = parse(event)?;
        if nodes[0].kind == Kind::Object { Ok(Self { text, nodes }) } else { Err(Unusual) }
    }

    pub(super) fn root(&self) -> Value<'_> {
        Value { tree: self, at: 0 }
    }
}

impl<'t> Value<'t> {
    fn node(self) -> &'t Node {
        &self.tree.nodes[self.at]
    }

    pub(super) fn kind(self) -> Kind {
        self.node().kind
    }

    /// The JSON of a value; of a text the part between the quotes.
    pub(super) fn raw(self) -> &'t str {
        &self.tree.text[self.node().start as usize..self.node().end as usize]
    }

    /// The value under a key. The key must need no escape.
    pub(super) fn get(self, key: &str) -> Option<Value<'t>> {
        let named = |node: &Node| {
            let (start, end) = (node.start as usize, node.end as usize);
            end - start == key.len() && &self.tree.text.as_bytes()[start..end] == key.as_bytes()
        };
        self.entries().find(|(name, _)| named(name.node())).map(|(_, value)| value)
    }

    /// The value under a key, unless it is null.
    pub(super) fn given(self, key: &str) -> Option<Value<'t>> {
        self.get(key).filter(|value| value.kind() != Kind::Null)
    }

    /// The keys and the values of an object. Nothing for another value.
    pub(super) fn entries(self) -> impl Iterator<Item = (Value<'t>, Value<'t>)> {
        let end = if self.kind() == Kind::Object { self.node().next as usize } else { 0 };
        let mut at = self.at + 1;
        std::iter::from_fn(move || {
            (at < end).then(|| {
                let (key, value) = (Value { at, ..self }, Value { at: at + 1, ..self });
                at = value.node().next as usize;
                (key, value)
            })
        })
    }

    /// The items of a list. Nothing for another value.
    pub(super) fn items(self) -> impl Iterator<Item = Value<'t>> {
        let end = if self.kind() == Kind::List { self.node().next as usize } else { 0 };
        let mut at = self.at + 1;
        std::iter::from_fn(move || {
            (at < end).then(|| {
                let item = Value { at, ..self };
                at = item.node().next as usize;
                item
            })
        })
    }

    /// Whether a list or an object has no item.
    fn has_no_item(self) -> bool {
        self.node().next as usize == self.at + 1
    }

    /// Whether Python takes the value for true.
    pub(super) fn is_truthy(self) -> bool {
        match self.kind() {
            Kind::Null | Kind::False => false,
            Kind::True => true,
            Kind::Number => {
                let mantissa = self.raw().split(['e', 'E']).next().unwrap_or_default();
                mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9'))
            }
            Kind::Text => !self.raw().is_empty(),
            Kind::List | Kind::Object => !self.has_no_item(),
        }
    }

    /// A text that is not empty.
    pub(super) fn nonempty(self) -> Option<Value<'t>> {
        (self.kind() == Kind::Text && !self.raw().is_empty()).then_some(self)
    }

    /// The characters of a text.
    pub(super) fn text(self) -> Cow<'t, str> {
        unescaped(self.raw())
    }

    /// An integer of 64 bits. None for null, [`Unusual`] for another value.
    pub(super) fn integer(self) -> Known<Option<i64>> {
        match self.kind() {
            Kind::Null => Ok(None),
            Kind::Number if self.raw() != "-0" => self.raw().parse().map(Some).map_err(|_| Unusual),
            _ => Err(Unusual),
        }
    }

    /// Appends the JSON of the value, without tags.
    pub(super) fn write(self, out: &mut String) -> Known<()> {
        self.check_numbers()?;
        self.write_parts(out);
        Ok(())
    }

    fn write_parts(self, out: &mut String) {
        match self.kind() {
            Kind::Text => {
                out.push('"');
                out.push_str(self.raw());
                out.push('"');
            }
            Kind::Object if self.node().tagged => {
                out.push('{');
                for (number, (key, value)) in self.entries().enumerate() {
                    if number > 0 {
                        out.push(',');
                    }
                    key.write_parts(out);
                    out.push(':');
                    value.write_parts(out);
                }
                out.push('}');
            }
            Kind::List if self.node().tagged => {
                out.push('[');
                for (number, item) in self.items().enumerate() {
                    if number > 0 {
                        out.push(',');
                    }
                    item.write_parts(out);
                }
                out.push(']');
            }
            _ => out.push_str(self.raw()),
        }
    }

    /// Refuses numbers that orjson writes in another form.
    fn check_numbers(self) -> Known<()> {
        let nodes = &self.tree.nodes[self.at..self.node().next as usize];
        let text = self.tree.text;
        let mut numbers = nodes.iter().filter(|node| node.kind == Kind::Number);
        let canonical = numbers.all(|node| is_canonical(&text[node.start as usize..node.end as usize]));
        canonical.then_some(()).ok_or(Unusual)
    }
}

fn is_canonical(number: &str) -> bool {
    if !number.contains(['.', 'e', 'E']) {
        return number != "-0" && number.parse::<i64>().is_ok();
    }
    // In this range both languages write the shortest digits, and no exponent.
    number
        .parse::<f64>()
        .is_ok_and(|value| (value == 0.0 || (1e-3..1e15).contains(&value.abs())) && format!("{value:?}") == number)
}

/// The characters of the part of a string between its quotes, which the parser has checked.
pub(super) fn unescaped(raw: &str) -> Cow<'_, str> {
    let Some(first) = raw.find('\\') else { return Cow::Borrowed(raw) };
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    let mut at = first;
    loop {
        text.push_str(&rest[..at]);
        let kind = rest.as_bytes()[at + 1];
        rest = &rest[at + 2..];
        match kind {
            b'b' => text.push('\u{8}'),
            b'f' => text.push('\u{c}'),
            b'n' => text.push('\n'),
            b'r' => text.push('\r'),
            b't' => text.push('\t'),
            b'u' => {
                let code = u32::from_str_radix(&rest[..4], 16).ok().and_then(char::from_u32);
                text.push(code.unwrap_or(char::REPLACEMENT_CHARACTER));
                rest = &rest[4..];
            }
            other => text.push(char::from(other)),
        }
        match rest.find('\\') {
            Some(next) => at = next,
            None => break,
        }
    }
    text.push_str(rest);
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(event: &str) -> Option<String> {
        let tree = Tree::parse(event.as_bytes()).ok()?;
        let mut out = String::new();
        tree.root().get("a")?.write(&mut out).ok()?;
        Some(out)
    }

    #[test]
    fn a_value_is_written_without_change_but_for_tags() {
        for value in [r#"{"b":[1,-2.5,"\n\u001f é"],"c":{}}"#, "[]", "0.0", "true", "null", r#""\"""#] {
            assert_eq!(written(&format!(r#"{{"a":{value}}}"#)).as_deref(), Some(value));
        }
        let tagged = r#"{"a":[{"$":"AIMessage","v":{"b":{"$":"as","c":"m:C","v":[1]}}},2]}"#;
        assert_eq!(written(tagged).as_deref(), Some(r#"[{"b":[1]},2]"#));
    }

    #[test]
    fn json_that_orjson_writes_in_another_form_is_unusual() {
        for value in [
            "1e3",
            "1.50",
            "-0",
            "0.00001",
            "12345678901234567890",
            "01",
            "1.",
            ".5",
            "-",
            "+1",
            "[1,]",
            "[1 ]",
            "{\"b\":1,}",
            r#""\/""#,
            r#""\u00e9""#,
            r#""\u0009""#,
            r#""\u001F""#,
            "\"\n\"",
            "\"",
            r#"{"b":1,"b":2}"#,
            r#"{"$":1}"#,
            r#"{"$":"bytes","v":""}"#,
            r#"{"$":"AIMessage","v":{},"x":{}}"#,
            "nul",
            "tru",
            "",
            "]",
            "[",
        ] {
            assert_eq!(written(&format!(r#"{{"a":{value}}}"#)), None, "{value}");
        }
        let many = (0..40).map(|number| format!(r#""k{}":1"#, number % 39)).collect::<Vec<_>>().join(",");
        assert_eq!(written(&format!(r#"{{{many},"a":1}}"#)), None);
        assert_eq!(written(&format!(r#"{{"a":{}{}}}"#, "[".repeat(70), "]".repeat(70))), None);
    }

    #[test]
    fn a_text_is_read_without_its_escapes() {
        let tree = Tree::parse(br#"{"a":"x\"\\\b\f\n\r\t\u001f\u0000y"}"#).unwrap();
        assert_eq!(tree.root().get("a").unwrap().text(), "x\"\\\u{8}\u{c}\n\r\t\u{1f}\0y");
    }
}
