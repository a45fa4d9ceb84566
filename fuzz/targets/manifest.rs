//! Reads arbitrary bytes as a manifest, a card, a signature and keys: reading never panics, and a manifest keeps its limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plsync_bundle::manifest::MemberKind;
use plsync_bundle::{Card, Claim, Identity, KeyId, Manifest, PublicKey, SecretKey, limits};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = Manifest::parse(bytes) {
        assert!(manifest.members.len() <= limits::MEMBERS && manifest.recent.len() <= limits::RECENT);
        for member in &manifest.members {
            assert!(MemberKind::of(&member.name).is_some() && !member.name.contains(".."));
            assert!(member.raw <= limits::LONE_MEMBER as u64 && member.size <= 2 * limits::LONE_MEMBER as u64);
        }
        let again = Manifest::parse(&serde_json::to_vec(&manifest).unwrap()).unwrap();
        assert_eq!(again, manifest);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(Claim::read(text, &[], &[KeyId([0; 8])]).is_err());
        let _ = (Card::parse(text).is_ok(), SecretKey::parse(text).is_ok(), Identity::parse(text).is_ok());
        if let Some(key) = PublicKey::parse(text) {
            assert_eq!(key.line(), text);
        }
    }
});
