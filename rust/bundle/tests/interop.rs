//! The tools of a distribution open bundles, and plsync reads their keys. A test without its tools states which are missing.

mod common;

use std::io::Write;
use std::path::Path;
use std::process::Command;

use common::{Call, Sides};
use plsync_bundle::{Identity, PublicKey, SecretKey};

/// Whether all tools are installed. Otherwise a line on standard error names the missing ones.
fn has(tools: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |tool: &&&str| std::env::split_paths(&path).any(|directory| directory.join(tool).is_file());
    let missing: Vec<_> = tools.iter().filter(|tool| !is_there(tool)).copied().collect();
    if !missing.is_empty() {
        // Not through eprintln, which the test harness captures.
        let _ = writeln!(std::io::stderr(), "SKIPPED: not installed: {}", missing.join(", "));
    }
    missing.is_empty()
}

/// The standard output of a shell command, which must succeed.
fn sh(directory: &Path, command: &str) -> String {
    let run = Command::new("sh").args(["-c", command]).current_dir(directory).output().unwrap();
    assert!(run.status.success(), "{command}: {}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}

#[test]
fn the_tools_of_the_distribution_open_a_bundle() {
    if !has(&["minisign", "age", "tar", "zstd", "jq"]) {
        return;
    }
    let (sides, dir) = (Sides::new(), tempfile::tempdir().unwrap());
    let calls: Vec<_> = (0..50).map(|number| Call::new(number, &"word \u{e9} ".repeat(5000))).collect();
    let (file, written) = sides.write(&calls, true);
    let put = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    put("bundle.tar.age", &file);
    put("bundle.tar.age.minisig", written.signature.as_bytes());
    put("identity", sides.identity.file().as_bytes());
    let key = sides.origin.public().line();
    let verified = sh(dir.path(), &format!("minisign -V -P {key} -m bundle.tar.age"));
    assert!(verified.contains("Trusted comment: plsync bundle 1 kind=out from=berlin-lab journal="));
    let listed = sh(dir.path(), "age -d -i identity bundle.tar.age | tar -tv");
    let lines: Vec<_> = listed.lines().collect();
    assert!(lines.len() > 2 && lines[0].ends_with(" manifest.json"), "{listed}");
    assert!(lines.iter().all(|line| line.starts_with("-rw-r--r-- 0/0 ")), "{listed}");
    assert_eq!(lines[1].split(' ').next_back(), Some("records/000001.jsonl.zst"));
    sh(dir.path(), "age -d -i identity bundle.tar.age | tar -x");
    assert_eq!(sh(dir.path(), "jq -r .journal manifest.json"), format!("{}\n", common::JOURNAL));
    // sha256sum computes the same hashes of the members.
    let hashes = "jq -r '.members[] | .sha256 + \"  \" + .name' manifest.json | sha256sum --check --quiet";
    sh(dir.path(), hashes);
    let ids = sh(dir.path(), "zstd -dc records/*.zst | jq -r 'select(.id) | .id'");
    let expected: Vec<_> = calls.iter().map(|call| call.header.id.to_string()).collect();
    assert_eq!(ids.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn minisign_signs_with_a_key_of_plsync_and_plsync_reads_a_key_of_minisign() {
    if !has(&["minisign"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let key = SecretKey::generate().unwrap();
    std::fs::write(dir.path().join("key"), key.file()).unwrap();
    std::fs::write(dir.path().join("file"), "content").unwrap();
    sh(dir.path(), "minisign -S -W -s key -m file </dev/null");
    sh(dir.path(), &format!("minisign -V -P {} -m file", key.public().line()));
    sh(dir.path(), "minisign -G -W -p theirs.pub -s theirs");
    let theirs = SecretKey::parse(&std::fs::read_to_string(dir.path().join("theirs")).unwrap()).unwrap();
    let public = std::fs::read_to_string(dir.path().join("theirs.pub")).unwrap();
    assert_eq!(public.lines().nth(1).and_then(PublicKey::parse), Some(theirs.public()));
    // minisign prints no leading zeros.
    assert!(public.contains(theirs.public().id.to_string().trim_start_matches('0')));
}

#[test]
fn plsync_reads_an_identity_of_age() {
    if !has(&["age-keygen"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    sh(dir.path(), "age-keygen -o key 2>&1");
    let file = std::fs::read_to_string(dir.path().join("key")).unwrap();
    let identity = Identity::parse(&file).unwrap();
    assert!(file.contains(&format!("# public key: {}\n", identity.recipient().line())));
    std::fs::write(dir.path().join("ours"), identity.file()).unwrap();
    assert_eq!(sh(dir.path(), "age-keygen -y ours").trim_end(), identity.recipient().line());
}
