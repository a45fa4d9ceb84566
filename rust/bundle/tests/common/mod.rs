//! Bundles for the tests: two sides with fixed or new keys, and helpers that write and read.
#![allow(dead_code)]

use std::io::Cursor;

use plsync_bundle::ids::Hex;
use plsync_bundle::lines::{Ended, Entry, FollowUp, FollowUpHeader, Op, Record, RecordHeader, follow_up_id};
use plsync_bundle::manifest::{LogSpan, Place};
use plsync_bundle::{
    Claim, Content, Error, Identity, Kind, Manifest, Peer, Result, Role, SecretKey, Verified, Writer, Written,
};

/// The name of the machine that records.
pub const ORIGIN: &str = "berlin-lab";
/// The id of its journal.
pub const JOURNAL: Hex<16> = Hex([0x7f; 16]);

/// The keys of both sides.
pub struct Sides {
    pub origin: SecretKey,
    pub hub: SecretKey,
    pub identity: Identity,
}

impl Sides {
    pub fn new() -> Self {
        let (origin, hub) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
        Self { origin, hub, identity: Identity::generate() }
    }

    /// The peers of the hub.
    pub fn peers(&self) -> Vec<Peer> {
        vec![Peer { name: ORIGIN.into(), role: Role::Origin, key: self.origin.public() }]
    }

    /// An empty manifest of a bundle to the hub.
    pub fn manifest(&self) -> Manifest {
        let (from, to) = (self.origin.public().id, self.hub.public().id);
        let mut manifest = Manifest::new(Kind::Out, JOURNAL, from, to, 42, 1_700_000_000_000).unwrap();
        manifest.place = Some(Place { epoch: Hex([1; 16]), number: 3, chain: Hex([2; 16]), ended: vec![Hex([4; 16])] });
        manifest.recent = vec![Hex([5; 32])];
        manifest
    }

    /// Reads a bundle to the hub whole.
    pub fn read(&self, file: &[u8], signature: &str) -> Result<(Manifest, Vec<Content>)> {
        let mut verified = self.verify(file, signature)?;
        let manifest = verified.check(Some(&self.identity))?.manifest;
        let mut bundle = verified.open(Some(&self.identity))?;
        let mut members = Vec::new();
        while let Some(member) = bundle.next_member()? {
            members.push(member);
        }
        Ok((manifest, members))
    }

    pub fn verify(&self, file: &[u8], signature: &str) -> Result<Verified<Cursor<Vec<u8>>>> {
        let claim = Claim::read(signature, &self.peers(), &[self.hub.public().id])?;
        claim.admit(&mut &file[..], Cursor::new(Vec::new()))
    }

    /// Writes a bundle to the hub.
    pub fn write(&self, records: &[Call], encrypted: bool) -> (Vec<u8>, Written) {
        let mut writer = Writer::new(tempfile::tempfile().unwrap());
        for record in records {
            writer.record(&record.record()).unwrap();
        }
        let mut file = Vec::new();
        let to = encrypted.then(|| self.identity.recipient());
        let written = writer.finish(self.manifest(), ORIGIN, &self.origin, to.as_ref(), &mut file).unwrap();
        (file, written)
    }
}

/// A record that owns its bodies.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub header: RecordHeader,
    pub start: Option<String>,
    pub end: Option<String>,
}

impl Call {
    pub fn new(number: u8, text: &str) -> Self {
        let header = RecordHeader {
            id: Hex([number; 16]),
            ended: Ended::Ok,
            flags: 0,
            lane: 0,
            run: Some(Hex([number ^ 0xff; 16])),
            parent: None,
            root: None,
            tags: vec!["lab".into()],
            model: Some("llama".into()),
            start: None,
            end: None,
            doubt: number.is_multiple_of(2),
            round: 0,
        };
        let body = |name: &str| Some(format!("{{\"v\":1,\"{name}\":{text:?}}}"));
        Self { header, start: body("prompts"), end: body("generations") }
    }

    pub fn record(&self) -> Record<'_> {
        Record {
            header: self.header.clone(),
            start: self.start.as_deref().map(str::as_bytes),
            end: self.end.as_deref().map(str::as_bytes),
        }
    }

    /// The record that a reader returned.
    pub fn of(record: &Record) -> Self {
        let text = |body: Option<&[u8]>| body.map(|body| String::from_utf8(body.to_vec()).unwrap());
        let header = RecordHeader { start: None, end: None, ..record.header.clone() };
        Self { header, start: text(record.start), end: text(record.end) }
    }
}

/// A score of a record.
pub fn score(record: Hex<16>, number: u64, payload: &[u8]) -> FollowUp<'_> {
    let id = follow_up_id(record, Op::Score, 5, number, payload);
    let header = FollowUpHeader { id, record, request: None, op: Op::Score, queued_at: 5, number, payload: 0 };
    FollowUp { header, payload }
}

/// Writes a bundle back to the origin, with as many acks.
pub fn write_back(sides: &Sides, acks: u8) -> (Vec<u8>, Written) {
    let (from, to) = (sides.hub.public().id, sides.origin.public().id);
    let mut manifest = Manifest::new(Kind::Back, JOURNAL, from, to, 17, 1_700_000_000_000).unwrap();
    manifest.log = Some(LogSpan { epoch: Hex([1; 16]), after: 3, chain: Hex([2; 16]) });
    let mut writer = Writer::new(tempfile::tempfile().unwrap());
    for number in 0..acks {
        let entry =
            Entry::Ack { record: Hex([number; 16]), request: Some(70_000 + u64::from(number)), at: 5, renewed: false };
        writer.entry(4 + u64::from(number), &entry).unwrap();
    }
    let mut file = Vec::new();
    let written = writer.finish(manifest, "hub-nord", &sides.hub, None, &mut file).unwrap();
    (file, written)
}

/// Whether a reading was refused for its content, before anything was imported.
pub fn is_refused<T>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::Malformed(_) | Error::Decrypt(_) | Error::Newer(_)))
}

/// A signature of any bytes, with the fields of another bundle's signature.
pub fn resign(key: &SecretKey, file: &[u8], like: &str) -> String {
    use base64::Engine as _;
    use blake2::Digest as _;
    use ed25519_dalek::Signer as _;

    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let secret = key.file();
    let bytes = base64::engine::general_purpose::STANDARD.decode(secret.lines().nth(1).unwrap()).unwrap();
    let signing = ed25519_dalek::SigningKey::from_keypair_bytes(bytes[62..126].try_into().unwrap()).unwrap();
    let comment = like.lines().nth(2).unwrap().strip_prefix("trusted comment: ").unwrap();
    let fields = comment.split_once(" size=").unwrap().0;
    let sha256 = plsync_bundle::Sha::of(file);
    let comment = format!("{fields} size={} sha256={sha256}", file.len());
    let signature = signing.sign(&blake2::Blake2b512::digest(file)).to_bytes();
    let over_comment = signing.sign(&[&signature[..], comment.as_bytes()].concat()).to_bytes();
    let whole = [&b"ED"[..], &key.public().id.0, &signature].concat();
    let (whole, over_comment) = (encode(&whole), encode(&over_comment));
    format!("untrusted comment: resigned\n{whole}\ntrusted comment: {comment}\n{over_comment}\n")
}
