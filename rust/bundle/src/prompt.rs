//! A prompt template in a bundle: one object of JSON in one line.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::json::Fit;
use crate::limits;
use crate::lines::check_body;

/// A template that a hub has fetched from `PromptLayer`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, clippy::zero_sized_map_values)] // only the form is read
struct Prompt {
    name: String,
    /// The requests whose response it was.
    keys: Vec<Key>,
    /// When, in milliseconds since 1970.
    fetched_at: u64,
    /// `PromptLayer`'s response.
    response: BTreeMap<String, IgnoredAny>,
}

/// A version, or a release label, or neither: the newest version.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    version: Option<i64>,
    label: Option<String>,
}

/// Checks the form of a template.
pub(crate) fn check(content: &[u8]) -> Fit {
    check_body(content, limits::MEMBER, |_, _| ())?;
    let prompt: Prompt = serde_json::from_slice(content).map_err(|_| "a prompt template has another form")?;
    let is_one = |key: &Key| {
        key.version.is_none_or(|version| version > 0 && key.label.is_none())
            && key.label.as_ref().is_none_or(|label| !label.is_empty())
    };
    if prompt.name.is_empty() || prompt.keys.is_empty() || !prompt.keys.iter().all(is_one) {
        return Err("a prompt template has no name, or no key");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_has_one_form() {
        let whole =
            r#"{"name":"greeting","keys":[{"version":3},{"label":"prod"},{}],"fetched_at":5,"response":{"a":[1]}}"#;
        assert_eq!(check(whole.as_bytes()), Ok(()));
        for (part, other) in [
            ("greeting", ""),
            ("greeting", "a\nb"),
            ("greeting", "\\ud800"),
            (r#"[{"version":3},{"label":"prod"},{}]"#, "[]"),
            (r#"{"version":3}"#, r#"{"version":0}"#),
            (r#"{"version":3}"#, r#"{"version":3,"label":"prod"}"#),
            (r#"{"version":3}"#, r#"{"path":"/etc"}"#),
            (r#"{"label":"prod"}"#, r#"{"label":""}"#),
            ("5,", "-5,"),
            (r#"{"a":[1]}"#, "[]"),
            (r#""name""#, r#""file""#),
        ] {
            assert!(whole.contains(part));
            assert!(check(whole.replace(part, other).as_bytes()).is_err(), "{part} -> {other}");
        }
        assert!(check(b"").is_err());
        assert!(check(&vec![b' '; limits::MEMBER + 1]).is_err());
    }
}
