//! Bundles read back whole, and one that was changed anywhere, or is for another reader, is refused.

mod common;

use std::io::Cursor;

use common::{Call, JOURNAL, ORIGIN, Sides, score, write_back};
use plsync_bundle::lines::{self, Ended, Entry};
use plsync_bundle::manifest::MemberKind;
use plsync_bundle::{Claim, Error, Peer, Role, SecretKey, Writer};
use proptest::prelude::*;

fn call() -> impl Strategy<Value = Call> {
    let ended = prop::sample::select(vec![Ended::Ok, Ended::Error, Ended::Cancelled, Ended::Partial, Ended::Abandoned]);
    let body = "[a-z\"\\\\\u{e9}\u{1f600} ]{0,80}";
    let labels = (prop::collection::vec("\\PC{0,20}", 0..4), prop::option::of("\\PC{0,20}"), any::<[u8; 16]>());
    (any::<[u8; 16]>(), ended, any::<(u8, u8, bool, u32)>(), labels, body, 0..3_u8, 1..40_usize).prop_map(
        |(id, ended, (flags, lane, doubt, round), (tags, model, run), text, bodies, times)| {
            let mut call = Call::new(0, &text.repeat(times * times));
            let header = &mut call.header;
            (header.id.0, header.ended, header.flags, header.lane) = (id, ended, flags, lane);
            (header.doubt, header.round, header.tags, header.model) = (doubt, round, tags, model);
            header.parent = Some(plsync_bundle::ids::Hex(run));
            if bodies == 1 {
                call.start = None;
            } else if bodies == 2 {
                call.end = None;
            }
            call
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn records_and_follow_ups_read_back(calls in prop::collection::vec(call(), 0..40), encrypted: bool) {
        let sides = Sides::new();
        let mut writer = Writer::new(tempfile::tempfile().unwrap());
        for call in &calls {
            writer.record(&call.record()).unwrap();
        }
        for (number, call) in calls.iter().enumerate() {
            writer.follow_up(&score(call.header.id, number as u64, b"{\"score\":90}")).unwrap();
        }
        let mut file = Vec::new();
        let to = encrypted.then(|| sides.identity.recipient());
        let written = writer.finish(sides.manifest(), ORIGIN, &sides.origin, to.as_ref(), &mut file).unwrap();
        let (manifest, members) = sides.read(&file, &written.signature).unwrap();
        prop_assert_eq!((manifest.journal, manifest.serial), (JOURNAL, 42));
        let found: Vec<_> = members.iter().filter(|member| member.kind == MemberKind::Records)
            .flat_map(|member| member.records().unwrap().iter().map(Call::of).collect::<Vec<_>>()).collect();
        prop_assert_eq!(&found, &calls);
        let follow_ups: usize = members.iter().filter(|member| member.kind == MemberKind::Followups)
            .map(|member| lines::follow_ups(&member.content).unwrap().len()).sum();
        prop_assert_eq!(follow_ups, calls.len());
    }
}

#[test]
fn many_records_take_members_of_one_mebibyte_and_a_large_record_has_its_own() {
    let sides = Sides::new();
    let mut calls: Vec<_> = (0..200).map(|number| Call::new(number, &"word ".repeat(4000))).collect();
    calls.insert(100, Call::new(255, &"large ".repeat(2_000_000)));
    let (file, written) = sides.write(&calls, true);
    let (manifest, members) = sides.read(&file, &written.signature).unwrap();
    assert!(members.len() > 5);
    assert!(manifest.members.iter().all(|member| member.items == 1 || member.raw < 2 << 20));
    let found: Vec<_> = members.iter().flat_map(|member| member.records().unwrap()).collect();
    assert!(found.iter().map(Call::of).eq(calls));
}

#[test]
fn entries_of_a_log_read_back_at_the_origin_alone() {
    let sides = Sides::new();
    let (file, written) = write_back(&sides, 9);
    let hub = |role| [Peer { name: "hub-nord".into(), role, key: sides.hub.public() }];
    let me = sides.origin.public().id;
    let claim = Claim::read(&written.signature, &hub(Role::Hub), &[me]).unwrap();
    let mut verified = claim.admit(&mut &file[..], Cursor::new(Vec::new())).unwrap();
    assert_eq!(verified.check(None).unwrap().manifest.log.unwrap().after, 3);
    let mut bundle = verified.open(None).unwrap();
    let member = bundle.next_member().unwrap().unwrap();
    let entries = lines::log(&member.content).unwrap();
    assert!(matches!(Entry::parse(entries[0]).unwrap(), (4, Entry::Ack { request: Some(70_000), .. })));
    assert_eq!(entries.len(), 9);
    assert!(matches!(Claim::read(&written.signature, &hub(Role::Origin), &[me]), Err(Error::Role(_))));
}

#[test]
fn every_flipped_bit_of_a_bundle_is_refused() {
    let sides = Sides::new();
    let (mut file, written) = sides.write(&[Call::new(1, "a"), Call::new(2, "b")], true);
    let claim = || Claim::read(&written.signature, &sides.peers(), &[sides.hub.public().id]).unwrap();
    // The copy is compared with the digests before the signature is checked, so all bits take less than a second.
    for bit in 0..file.len() * 8 {
        file[bit / 8] ^= 1 << (bit % 8);
        let read = claim().admit(&mut &file[..], Cursor::new(Vec::new()));
        assert!(matches!(read, Err(Error::Altered { .. })), "bit {bit}");
        file[bit / 8] ^= 1 << (bit % 8);
    }
    for length in 0..file.len() {
        assert!(sides.verify(&file[..length], &written.signature).is_err(), "cut to {length}");
    }
    file.push(0);
    assert!(sides.verify(&file, &written.signature).is_err());
}

#[test]
fn every_flipped_bit_behind_the_untrusted_comment_of_a_signature_is_refused() {
    let sides = Sides::new();
    let (file, written) = sides.write(&[Call::new(1, "a")], true);
    let mut signature = written.signature.into_bytes();
    let first = signature.iter().position(|byte| *byte == b'\n').unwrap();
    for bit in first * 8..signature.len() * 8 {
        signature[bit / 8] ^= 1 << (bit % 8);
        let read = std::str::from_utf8(&signature).map(|text| sides.verify(&file, text).is_ok());
        assert_ne!(read, Ok(true), "bit {bit}");
        signature[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn a_signature_does_not_fit_another_bundle() {
    let sides = Sides::new();
    let (one, other) = (sides.write(&[Call::new(1, "a")], true), sides.write(&[Call::new(1, "a")], true));
    assert!(matches!(sides.verify(&one.0, &other.1.signature), Err(Error::Altered { .. })));
}

#[test]
fn a_bundle_of_an_unknown_signer_or_for_another_recipient_is_not_read() {
    let sides = Sides::new();
    let (_, written) = sides.write(&[Call::new(1, "a")], true);
    let me = sides.hub.public().id;
    assert!(matches!(Claim::read(&written.signature, &[], &[me]), Err(Error::UnknownSigner(_))));
    let other = SecretKey::generate().unwrap().public();
    let read = Claim::read(&written.signature, &sides.peers(), &[other.id]);
    assert!(matches!(read, Err(Error::Recipient(to)) if to == me));
    // A key with the trusted id, which anyone can choose.
    let mut line = plsync_bundle::PublicKey::parse(&other.line()).unwrap();
    line.id = sides.origin.public().id;
    let peers = [Peer { name: ORIGIN.into(), role: Role::Origin, key: line }];
    assert!(matches!(Claim::read(&written.signature, &peers, &[me]), Err(Error::Forged(_))));
}

#[test]
fn a_peer_cannot_sign_the_encrypted_file_of_another() {
    let sides = Sides::new();
    let (file, _) = sides.write(&[Call::new(1, "a")], true);
    let thief = SecretKey::generate().unwrap();
    let thieves =
        Sides { origin: thief, hub: SecretKey::parse(&sides.hub.file()).unwrap(), identity: sides.identity.clone() };
    // The thief is a trusted peer too, and signs the bytes that it found on the stick.
    let (_, own) = thieves.write(&[], true);
    let forged = common::resign(&thieves.origin, &file, &own.signature);
    let mut verified = thieves.verify(&file, &forged).unwrap();
    assert!(common::is_refused(&verified.check(Some(&sides.identity))));
}

#[test]
fn an_encrypted_bundle_needs_the_identity_of_its_recipient() {
    let sides = Sides::new();
    let (file, written) = sides.write(&[Call::new(1, "a")], true);
    for identity in [None, Some(plsync_bundle::Identity::generate())] {
        let mut verified = sides.verify(&file, &written.signature).unwrap();
        assert!(matches!(verified.check(identity.as_ref()), Err(Error::Decrypt(_))));
    }
}
