//! The labels of a call, from the JSON of its events. The recorder has written the same labels into the frames.

use plsync_bundle::lines::Body;
use plsync_bundle::{Error, Id, json};

use crate::recorder::short_model;

/// Keys of the settings that name the model, in the order of the recorder.
const MODELS: [&[u8]; 4] = [b"model", b"model_name", b"model_id", b"model_path"];
const LONGEST: usize = plsync_journal::labels::MAX_VALUE;

/// The labels of a call, and its events as bodies that fit a bundle.
#[derive(Default)]
pub(super) struct Labelled<'b> {
    pub(super) start: Option<Body<'b>>,
    pub(super) end: Option<Body<'b>>,
    pub(super) run: Option<Id>,
    pub(super) parent: Option<Id>,
    pub(super) root: Option<Id>,
    pub(super) tags: Vec<String>,
    pub(super) model: Option<String>,
}

impl<'b> Labelled<'b> {
    /// Leaves the labels that the recorder writes for a run that is not a call. A node of a tree has the tags of its root.
    pub(super) fn of_run(self, id: Id) -> Self {
        let root = self.root.unwrap_or(id);
        let (tags, model) = if root == id { (self.tags, self.model) } else { (Vec::new(), None) };
        Self { root: Some(root), parent: None, tags, model, ..self }
    }

    /// Reads the labels in the pass that checks the bodies.
    pub(super) fn read(start: Option<&'b [u8]>, end: Option<&'b [u8]>) -> Result<Self, Error> {
        let mut found = Self::default();
        let (mut metadata, mut params, mut tags) = (None, None, [None; 2]);
        let (mut ids, mut root) = ([None; 4], None);
        if let Some(bytes) = start {
            let body = Body::new(bytes, |key, value| match key {
                b"run_id" => ids[0] = Some(value),
                b"parent_run_id" => ids[1] = Some(value),
                b"metadata" => metadata = Some(value),
                b"params" => params = Some(value),
                b"root" => root = Some(value),
                b"tags" => tags[0] = Some(value),
                b"pl_tags" => tags[1] = Some(value),
                _ => {}
            });
            found.start = Some(body?);
        }
        if let Some(bytes) = end {
            let body = Body::new(bytes, |key, value| match key {
                b"run_id" => ids[2] = Some(value),
                b"parent_run_id" => ids[3] = Some(value),
                _ => {}
            });
            found.end = Some(body?);
        }
        found.run = ids[0].and_then(run_id).or_else(|| ids[2].and_then(run_id));
        found.parent = ids[1].and_then(run_id).or_else(|| ids[3].and_then(run_id));
        found.root = root.and_then(run_id);
        found.model = metadata.and_then(|metadata| first_text(metadata, &[b"ls_model_name"]));
        found.model = found.model.or_else(|| params.and_then(|params| first_text(params, &MODELS)));
        found.model = found.model.map(|model| cut(short_model(&model)).to_owned());
        for tag in tags.into_iter().flatten().flat_map(json::texts) {
            let tag = cut(&tag);
            if found.tags.len() < plsync_bundle::limits::TAGS && !found.tags.iter().any(|known| known == tag) {
                found.tags.push(tag.to_owned());
            }
        }
        Ok(found)
    }
}

/// The id in a text of a UUID.
fn run_id(value: &[u8]) -> Option<Id> {
    let text = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let digits: Vec<_> = text.iter().copied().filter(|byte| *byte != b'-').collect();
    Id::parse(std::str::from_utf8(&digits).ok()?)
}

/// The first of these members of an object that holds a text.
fn first_text(object: &[u8], keys: &[&[u8]]) -> Option<String> {
    let mut found: Vec<Option<&[u8]>> = vec![None; keys.len()];
    let noted = json::scan(object, |key, value| {
        if let Some(at) = keys.iter().position(|wanted| *wanted == key) {
            found[at] = Some(value);
        }
    });
    noted.ok()?;
    found.into_iter().flatten().find_map(json::text)
}

fn cut(label: &str) -> &str {
    &label[..label.floor_char_boundary(LONGEST)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_labels_equal_the_labels_of_the_recorder() {
        let start = br#"{"v":1,"run_id":"01a22c0a-1b6e-7029-a829-7156906700a2","parent_run_id":null,
            "tags":["docs",{"$":"as","c":"m:Tag","v":"enum"},7],"pl_tags":["docs","bench"],
            "metadata":{"thread_id":"t","ls_model_name":"gpt-4o"},"params":{"model":"other"}}"#;
        let start: Vec<u8> = start.iter().copied().filter(|byte| *byte != b'\n').collect();
        let found = Labelled::read(Some(&start), None).unwrap();
        assert_eq!(found.run.unwrap().to_string(), "01a22c0a1b6e7029a8297156906700a2");
        assert_eq!((found.parent, found.model.as_deref()), (None, Some("gpt-4o")));
        assert_eq!(found.tags, ["docs", "enum", "bench"]);
        let params = br#"{"params":{"model":null,"model_path":"/home/lab/tiny.gguf"},"metadata":{"ls_model_name":3},"tags":null}"#;
        assert_eq!(Labelled::read(Some(params), None).unwrap().model.as_deref(), Some("tiny.gguf"));
        let end = br#"{"run_id":"01a22c0a1b6e7029a8297156906700a2","parent_run_id":"x"}"#;
        let found = Labelled::read(None, Some(end)).unwrap();
        assert!(found.run.is_some() && found.parent.is_none());
        assert!(Labelled::read(Some(b"{"), None).is_err());
    }
}
