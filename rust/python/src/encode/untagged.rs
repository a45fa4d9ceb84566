//! Removes the tags of messages and generations from an event, so that each reads as the object of its fields.
//!
//! Nearly all tags of an event are of these two kinds. Removing them before parsing costs a fifth of removing them after.
//! `to_plain` in `journal/events/tagged.py` removes every other tag, and has the same result for the tags that are removed here.

use memchr::memchr2;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::classes::is_model_tag;
use crate::errors::{bytes, memory_error};

/// The deepest nesting that is searched. Events nest less, and `to_plain` reads deeper ones.
const MAX_DEPTH: usize = 64;

const TAG: &[u8] = br#"{"$":""#;
const FIELDS: &[u8] = br#","v":{"#;

/// A bracket that is open.
#[derive(PartialEq, Eq)]
enum Open {
    List,
    Object,
    /// The fields of a tagged value. The value closes right after its fields.
    Fields,
}

/// The JSON without the tags of messages and generations: the event itself if it has no tags. None for JSON with other tags, or in another form than handlers write.
#[pyfunction]
pub(crate) fn untagged<'py>(event: &Bound<'py, PyBytes>) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let content = event.as_bytes();
    let mut plain = Vec::new();
    plain.try_reserve_exact(content.len()).map_err(|_| memory_error("an event"))?;
    let Some(plain) = without_tags(content, plain) else { return Ok(None) };
    // A removal makes it shorter.
    if plain.len() == content.len() { Ok(Some(event.clone())) } else { bytes(event.py(), &plain).map(Some) }
}

/// `plain` has room for the event.
fn without_tags(event: &[u8], mut plain: Vec<u8>) -> Option<Vec<u8>> {
    let mut open = Vec::with_capacity(MAX_DEPTH);
    // Bytes before this index are copied.
    let mut copied = 0;
    let mut at = 0;
    while let Some(&byte) = event.get(at) {
        at += 1;
        match byte {
            b'{' => {
                if let Some(fields) = fields_of(&event[at - 1..])? {
                    plain.extend_from_slice(&event[copied..at - 1]);
                    at += fields - 1;
                    copied = at;
                    at += 1;
                    open.push(Open::Fields);
                } else {
                    open.push(Open::Object);
                }
            }
            b'[' => open.push(Open::List),
            b']' => (open.pop()? == Open::List).then_some(())?,
            b'}' => match open.pop()? {
                Open::List => return None,
                Open::Object => {}
                Open::Fields => {
                    plain.extend_from_slice(&event[copied..at]);
                    (*event.get(at)? == b'}').then_some(())?;
                    at += 1;
                    copied = at;
                }
            },
            b'"' => {
                let start = at;
                let escaped = skip_string(event, &mut at)?;
                // A key `$` is a tag at an unexpected place. An escaped key may be one.
                let is_key = event.get(at) == Some(&b':');
                if is_key && (escaped || &event[start..at - 1] == b"$") {
                    return None;
                }
            }
            // White space between a key and its colon would hide the key.
            b' ' | b'\t' | b'\n' | b'\r' => return None,
            _ => {}
        }
        if open.len() > MAX_DEPTH {
            return None;
        }
    }
    plain.extend_from_slice(&event[copied..]);
    open.is_empty().then_some(plain)
}

/// The index at which the fields of a tagged object begin. Some(None) for an object without a tag, None for another tag.
#[allow(clippy::option_option)]
fn fields_of(object: &[u8]) -> Option<Option<usize>> {
    let Some(rest) = object.strip_prefix(TAG) else { return Some(None) };
    let end = rest.iter().position(|byte| *byte == b'"')?;
    let name = str::from_utf8(&rest[..end]).ok()?;
    // The name ends with its quote, and the key of the fields follows.
    let known = is_model_tag(name) && rest[end + 1..].starts_with(FIELDS);
    known.then_some(Some(TAG.len() + end + FIELDS.len()))
}

/// Moves past the end of a string. Returns whether it contains an escape; None when it has no end.
fn skip_string(event: &[u8], at: &mut usize) -> Option<bool> {
    let mut escaped = false;
    loop {
        *at += memchr2(b'"', b'\\', event.get(*at..)?)?;
        if event[*at] == b'"' {
            *at += 1;
            return Some(escaped);
        }
        escaped = true;
        *at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn untag(event: &str) -> Option<String> {
        without_tags(event.as_bytes(), Vec::new()).map(|plain| String::from_utf8(plain).unwrap())
    }

    #[test]
    fn messages_and_generations_are_replaced_by_their_fields() {
        let event = r#"{"v":1,"generations":[{"$":"ChatGeneration","v":{"text":"{\"$\":\"}","message":{"$":"AIMessage","v":{"content":""}}}}]}"#;
        let plain = r#"{"v":1,"generations":[{"text":"{\"$\":\"}","message":{"content":""}}]}"#;
        assert_eq!(untag(event).as_deref(), Some(plain));
    }

    #[test]
    fn an_event_without_tags_is_unchanged() {
        let event = r#"{"a":[1,{"b":"\\"},"$",{}],"c$":null}"#;
        assert_eq!(untag(event).as_deref(), Some(event));
    }

    #[test]
    fn other_tags_and_forms_are_refused() {
        for event in [
            r#"{"$":"bytes","v":"AA=="}"#,
            r#"{"$":"dict","v":[["$",1]]}"#,
            r#"{"$":"AIMessage","v":{},"x":{"a":1}}"#,
            r#"{"$":"AIMessage","v":[]}"#,
            r#"{"$":"TextAccessor","v":{}}"#,
            r#"{"v":{},"$":"AIMessage"}"#,
            r#"{"\u0024":"AIMessage","v":{}}"#,
            r#"{"$" :"AIMessage","v":{}}"#,
            r#"{"a": 1}"#,
            r#"{"a":[1}"#,
            r#"{"a":"1"#,
            r#"{"a":"\"#,
            r#"{"$":"AIMessage","v":{}"#,
            r#"{"$":"AI"#,
            "[",
            "]",
            "}",
        ] {
            assert_eq!(untag(event), None, "{event}");
        }
        assert_eq!(untag(&"[".repeat(MAX_DEPTH + 1)), None);
    }
}
