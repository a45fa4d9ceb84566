//! The golden bundles, which an earlier version wrote, are read completely.

mod common;

use std::path::{Path, PathBuf};

use common::{Call, ORIGIN, Sides, score, write_back};
use plsync_bundle::lines::{self, Entry};
use plsync_bundle::manifest::MemberKind;
use plsync_bundle::{Card, Claim, Identity, Peer, Role, SecretKey, Writer};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/1")
}

fn text(name: &str) -> String {
    std::fs::read_to_string(directory().join(name)).unwrap()
}

fn sides() -> Sides {
    let key = |name| SecretKey::parse(&text(name)).unwrap();
    Sides { origin: key("origin.key"), hub: key("hub.key"), identity: Identity::parse(&text("hub.age")).unwrap() }
}

/// The records of the golden bundle.
fn calls() -> Vec<Call> {
    let mut calls: Vec<_> = (0..12).map(|number| Call::new(number, &"Il \u{e9}tait une fois ".repeat(20))).collect();
    (calls[3].start, calls[4].end) = (None, None);
    calls
}

#[test]
fn the_golden_bundles_are_read_completely() {
    let sides = sides();
    for name in ["out.tar", "out.tar.age"] {
        let file = std::fs::read(directory().join(name)).unwrap();
        let (manifest, members) = sides.read(&file, &text(&format!("{name}.minisig"))).unwrap();
        assert_eq!((manifest.serial, manifest.recent.len(), manifest.place.unwrap().number), (42, 1, 3));
        let kinds: Vec<_> = members.iter().map(|member| member.kind).collect();
        assert_eq!(kinds, [MemberKind::Records, MemberKind::Followups]);
        let found: Vec<_> = members[0].records().unwrap().iter().map(Call::of).collect();
        assert_eq!(found, calls());
        assert_eq!(lines::follow_ups(&members[1].content).unwrap()[0].payload, b"{\"score\":90}");
    }
    let file = std::fs::read(directory().join("back.tar")).unwrap();
    let peers = [Peer { name: "hub-nord".into(), role: Role::Hub, key: sides.hub.public() }];
    let signature = text("back.tar.minisig");
    let claim = Claim::read(&signature, &peers, &[sides.origin.public().id]).unwrap();
    let mut verified = claim.admit(&mut &file[..], std::io::Cursor::new(Vec::new())).unwrap();
    verified.check(None).unwrap();
    let member = verified.open(None).unwrap().next_member().unwrap().unwrap();
    let entries = lines::log(&member.content).unwrap();
    assert!(matches!(Entry::parse(entries[8]).unwrap(), (12, Entry::Ack { request: Some(70_008), .. })));
    assert_eq!(Card::parse(&text("hub.card")).unwrap().fingerprint(), text("hub.fingerprint").trim_end());
}

/// Writes the golden bundles of a new format. For a new format only: a committed bundle represents the bundles of users.
#[test]
#[ignore = "run by hand, once a format"]
fn make_the_golden_bundles() {
    let (sides, directory) = (Sides::new(), directory());
    std::fs::create_dir_all(&directory).unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(directory.join(name), bytes).unwrap();
    put("origin.key", sides.origin.file().as_bytes());
    put("hub.key", sides.hub.file().as_bytes());
    put("hub.age", sides.identity.file().as_bytes());
    let card = Card::make("hub-nord", &sides.hub, &sides.identity.recipient(), None).unwrap();
    put("hub.card", card.as_bytes());
    put("hub.fingerprint", format!("{}\n", Card::parse(&card).unwrap().fingerprint()).as_bytes());
    for (name, encrypted) in [("out.tar", false), ("out.tar.age", true)] {
        let mut writer = Writer::new(tempfile::tempfile().unwrap());
        for call in calls() {
            writer.record(&call.record()).unwrap();
        }
        writer.follow_up(&score(calls()[0].header.id, 1, b"{\"score\":90}")).unwrap();
        let to = encrypted.then(|| sides.identity.recipient());
        let mut file = Vec::new();
        let written = writer.finish(sides.manifest(), ORIGIN, &sides.origin, to.as_ref(), &mut file).unwrap();
        put(name, &file);
        put(&format!("{name}.minisig"), written.signature.as_bytes());
    }
    let (file, written) = write_back(&sides, 9);
    put("back.tar", &file);
    put("back.tar.minisig", written.signature.as_bytes());
}
