//! The parser of events: one pass over the bytes, into the nodes of a [`super::json::Tree`].

use memchr::memchr2;

use crate::encode::is_model_tag;

use super::node::{Kind, Known, Node, Unusual};

/// The deepest nesting that is read. Events nest less.
const MAX_DEPTH: usize = 60;
/// The keys of an object that are compared pair by pair.
const FEW_KEYS: usize = 24;
/// The bytes of a short string.
const SHORT: usize = 24;
/// The beginning of a tagged value.
const TAG: &[u8] = br#"{"$":""#;

/// The nodes of a JSON text, in the form that orjson writes.
pub(super) fn parse(bytes: &[u8]) -> Known<Vec<Node>> {
    let nodes = Vec::with_capacity(bytes.len() / 24 + 8);
    let mut parser = Parser { bytes, at: 0, nodes, keys: Vec::with_capacity(64) };
    parser.value(0)?;
    if parser.at == bytes.len() { Ok(parser.nodes) } else { Err(Unusual) }
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    /// The keys of the objects that are open.
    keys: Vec<&'a [u8]>,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Known<u8> {
        self.bytes.get(self.at).copied().ok_or(Unusual)
    }

    fn take(&mut self, literal: &[u8]) -> Known<()> {
        let found = self.bytes[self.at..].starts_with(literal);
        self.at += literal.len();
        found.then_some(()).ok_or(Unusual)
    }

    fn push(&mut self, kind: Kind) -> usize {
        let start = index(self.at);
        self.nodes.push(Node { kind, tagged: false, start, end: start, next: 0 });
        self.nodes.len() - 1
    }

    fn finish(&mut self, node: usize) {
        let (end, next) = (index(self.at), index(self.nodes.len()));
        let node = &mut self.nodes[node];
        (node.end, node.next) = (end, next);
    }

    /// Parses a value. Returns whether its bytes contain a tag.
    fn value(&mut self, depth: usize) -> Known<bool> {
        if depth > MAX_DEPTH {
            return Err(Unusual);
        }
        let literal: &[u8];
        let kind;
        match self.peek()? {
            b'"' => return self.string().map(|()| false),
            b'{' => {
                return if self.bytes[self.at..].starts_with(TAG) { self.tagged(depth) } else { self.object(depth) };
            }
            b'[' => return self.list(depth),
            b'n' => (literal, kind) = (b"null", Kind::Null),
            b't' => (literal, kind) = (b"true", Kind::True),
            b'f' => (literal, kind) = (b"false", Kind::False),
            _ => return self.number().map(|()| false),
        }
        let node = self.push(kind);
        self.take(literal)?;
        self.finish(node);
        Ok(false)
    }

    /// A tagged value: a message or a generation, of which the fields count, or a value with a plain form.
    fn tagged(&mut self, depth: usize) -> Known<bool> {
        self.at += TAG.len();
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|byte| *byte == b'"').ok_or(Unusual)?;
        let name = str::from_utf8(&rest[..length]).map_err(|_| Unusual)?;
        let is_model = is_model_tag(name);
        if !is_model && name != "as" && name != "class" {
            return Err(Unusual);
        }
        self.at += length;
        if is_model {
            self.take(br#"","v":{"#)?;
            self.at -= 1;
        } else {
            self.take(br#"","c":"#)?;
            let known = self.nodes.len();
            self.string()?;
            self.nodes.truncate(known);
            self.take(br#","v":"#)?;
        }
        self.value(depth + 1)?;
        self.take(b"}")?;
        Ok(true)
    }

    fn object(&mut self, depth: usize) -> Known<bool> {
        let node = self.push(Kind::Object);
        let first_key = self.keys.len();
        self.at += 1;
        let mut tagged = false;
        if self.peek()? == b'}' {
            self.at += 1;
        } else {
            loop {
                self.string()?;
                let key: &'a [u8] = self.last_text();
                // Of a key that is repeated Python keeps the last value. A key `$` is a tag at an unexpected place.
                let others = &self.keys[first_key..];
                if key == b"$" || (others.len() < FEW_KEYS && others.contains(&key)) {
                    return Err(Unusual);
                }
                self.keys.push(key);
                self.take(b":")?;
                tagged |= self.value(depth + 1)?;
                match self.peek()? {
                    b',' => self.at += 1,
                    b'}' => break,
                    _ => return Err(Unusual),
                }
            }
            self.at += 1;
            if self.keys.len() - first_key > FEW_KEYS {
                self.keys[first_key..].sort_unstable();
                if self.keys[first_key..].windows(2).any(|pair| pair[0] == pair[1]) {
                    return Err(Unusual);
                }
            }
            self.keys.truncate(first_key);
        }
        self.finish(node);
        self.nodes[node].tagged = tagged;
        Ok(tagged)
    }

    /// The part between the quotes of the string that was parsed last.
    fn last_text(&self) -> &'a [u8] {
        self.nodes.last().map_or(&[], |node| &self.bytes[node.start as usize..node.end as usize])
    }

    fn list(&mut self, depth: usize) -> Known<bool> {
        let node = self.push(Kind::List);
        self.at += 1;
        let mut tagged = false;
        if self.peek()? == b']' {
            self.at += 1;
        } else {
            loop {
                tagged |= self.value(depth + 1)?;
                self.at += 1;
                match self.bytes[self.at - 1..].first() {
                    Some(b',') => {}
                    Some(b']') => break,
                    _ => return Err(Unusual),
                }
            }
        }
        self.finish(node);
        self.nodes[node].tagged = tagged;
        Ok(tagged)
    }

    fn string(&mut self) -> Known<()> {
        self.take(b"\"")?;
        let node = self.push(Kind::Text);
        loop {
            let rest = self.bytes.get(self.at..).ok_or(Unusual)?;
            let is_end = |byte: &u8| matches!(byte, b'"' | b'\\');
            // Most strings are keys and short values, for which the search of long ones starts too slowly.
            self.at += match rest.iter().take(SHORT).position(is_end) {
                Some(length) => length,
                None => memchr2(b'"', b'\\', rest).ok_or(Unusual)?,
            };
            if self.bytes[self.at] == b'"' {
                break;
            }
            self.at += match self.bytes.get(self.at + 1).ok_or(Unusual)? {
                b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                b'u' if is_control(self.bytes.get(self.at + 2..self.at + 6).ok_or(Unusual)?) => 6,
                _ => return Err(Unusual),
            };
        }
        self.finish(node);
        self.at += 1;
        Ok(())
    }

    fn number(&mut self) -> Known<()> {
        let node = self.push(Kind::Number);
        if self.peek()? == b'-' {
            self.at += 1;
        }
        let whole = self.digits()?;
        if whole > 1 && self.bytes[self.at - whole] == b'0' {
            return Err(Unusual);
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            // A larger exponent may be no number.
            if self.digits()? > 2 {
                return Err(Unusual);
            }
        }
        self.finish(node);
        Ok(())
    }

    fn digits(&mut self) -> Known<usize> {
        let count = self.bytes[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(Unusual) } else { Ok(count) }
    }
}

/// Whether four hex digits are the code of a control character as orjson writes it.
fn is_control(digits: &[u8]) -> bool {
    let [b'0', b'0', high @ (b'0' | b'1'), low @ (b'0'..=b'9' | b'a'..=b'f')] = digits else { return false };
    *high == b'1' || !matches!(low, b'8' | b'9' | b'a' | b'c' | b'd')
}

#[allow(clippy::cast_possible_truncation)] // an event has less than 4 GB
fn index(at: usize) -> u32 {
    at as u32
}
