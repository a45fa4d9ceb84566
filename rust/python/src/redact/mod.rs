//! Recognises and replaces credentials: by their names, by their form, in URLs, and by their value where it is known.
//!
//! The only place that knows credentials. The encoder uses it directly, Python through `python/plsync/_common/redaction.py`. Every
//! function takes time in proportion to its text, and texts above [`MAX_TEXT`] are replaced unread.

mod assignment;
mod bytes;
mod clean;
mod known;
mod labels;
mod names;
mod objects;
mod output;
pub(crate) mod python;
mod settings;
mod text;
mod tokens;
mod urls;
mod users;
mod value;

pub(crate) use clean::redact_object;
pub(crate) use names::{Name, meaning};
pub(crate) use objects::{is_credential, is_schema_key, is_value_behind, names_credential};
pub(crate) use output::{MAX_TEXT, REDACTED};
pub(crate) use settings::redact_settings;
pub(crate) use text::{redact_repr, redact_text};
pub(crate) use urls::redact_urls;
