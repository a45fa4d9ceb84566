//! Archives that a trusted peer signed and that break the format: each is refused whole, quickly and in little memory.

mod common;

use std::io::Write;
use std::time::{Duration, Instant};

use common::{Call, Sides, is_refused, resign};
use plsync_bundle::ids::Hex;
use plsync_bundle::lines::{RecordHeader, push_record};
use plsync_bundle::manifest::Member;
use plsync_bundle::{Manifest, Sha, limits, tar};

/// The files of an archive, in any form.
struct Forgery {
    sides: Sides,
    manifest: Manifest,
    files: Vec<(String, Vec<u8>)>,
}

impl Forgery {
    /// A whole bundle with one record.
    fn new() -> Self {
        let (sides, mut raw) = (Sides::new(), Vec::new());
        push_record(&mut raw, &Call::new(1, "a").record()).unwrap();
        let mut this = Self { manifest: sides.manifest(), sides, files: Vec::new() };
        this.add("records/000001.jsonl.zst", &raw, 1);
        this
    }

    fn add(&mut self, name: &str, raw: &[u8], items: u64) {
        let packed = zstd::bulk::compress(raw, 3).unwrap();
        self.add_packed(name, packed, raw.len() as u64, items);
    }

    fn add_packed(&mut self, name: &str, packed: Vec<u8>, raw: u64, items: u64) {
        let (size, sha256) = (packed.len() as u64, Sha::of(&packed));
        self.manifest.members.push(Member { name: name.into(), size, raw, items, sha256 });
        self.files.push((name.into(), packed));
    }

    fn archive(&self, manifest: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let files = self.files.iter().map(|(name, content)| (name.as_str(), &content[..]));
        for (name, content) in std::iter::once(("manifest.json", manifest)).chain(files) {
            bytes.write_all(&tar::header(name, content.len() as u64).unwrap()).unwrap();
            bytes.write_all(content).unwrap();
            bytes.resize(bytes.len().next_multiple_of(tar::BLOCK), 0);
        }
        bytes.resize(bytes.len() + 2 * tar::BLOCK, 0);
        bytes
    }

    fn whole(&self) -> Vec<u8> {
        self.archive(&serde_json::to_vec(&self.manifest).unwrap())
    }

    /// Signs an archive as the trusted origin, and returns whether the hub refuses it.
    fn is_refused(&self, archive: &[u8]) -> bool {
        let (_, written) = self.sides.write(&[], false);
        let signature = resign(&self.sides.origin, archive, &written.signature);
        let mut verified = self.sides.verify(archive, &signature).unwrap();
        let (start, before) = (Instant::now(), memory::begin());
        let result = verified.check(Some(&self.sides.identity));
        memory::assert_little_since(before);
        // Far above the second of a quiet machine, and far below an endless loop.
        assert!(start.elapsed() < Duration::from_secs(20));
        is_refused(&result)
    }

    /// A bundle with a member that expands to 256 MiB, and states this size.
    fn bomb(zeros: &[u8], raw: u64) -> Self {
        let mut forgery = Self::new();
        forgery.add_packed("records/000002.jsonl.zst", zeros.to_vec(), raw, 1);
        forgery
    }

    /// The archive with a million members more than its manifest has.
    fn with_a_million_members(&self) -> Vec<u8> {
        let whole = self.whole();
        let mut bytes = whole[..whole.len() - 2 * tar::BLOCK].to_vec();
        let header = tar::header("records/000002.jsonl.zst", 0).unwrap();
        for _ in 0..1_000_000 {
            bytes.extend_from_slice(&header);
        }
        bytes.resize(bytes.len() + 2 * tar::BLOCK, 0);
        bytes
    }
}

fn zeros() -> Vec<u8> {
    zstd::bulk::compress(&vec![0; 256 << 20], 3).unwrap()
}

/// The memory of a process that runs one test alone.
mod memory {
    /// Set in that process.
    pub const ALONE: &str = "PLSYNC_TEST_ALONE";
    const LIMIT: u64 = 200 << 20;

    pub fn begin() -> Option<u64> {
        std::env::var_os(ALONE)?;
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        field("VmRSS:")
    }

    pub fn assert_little_since(before: Option<u64>) {
        if let Some((before, most)) = before.zip(field("VmHWM:")) {
            assert!(most < before + LIMIT, "{} MiB", (most - before) >> 20);
        }
    }

    fn field(name: &str) -> Option<u64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|size| size << 10)
    }
}

#[test]
fn the_forgery_is_a_whole_bundle_before_it_is_changed() {
    let forgery = Forgery::new();
    assert!(!forgery.is_refused(&forgery.whole()));
}

#[test]
fn names_that_are_paths_or_unknown_are_refused() {
    for name in [
        "../records/000001.jsonl.zst",
        "/records/000001.jsonl.zst",
        "records/../000001.jsonl.zst",
        "records/000001.jsonl.zst/",
        "records//000001.jsonl.zst",
        "Records/000002.jsonl.zst",
        "records/0000002.jsonl.zst",
        "records/00000a.jsonl.zst",
        "records/000002.jsonl",
        "scripts/000002.jsonl.zst",
        "log/000001.jsonl.zst",
        "manifest.json",
    ] {
        let mut forgery = Forgery::new();
        forgery.add(name, b"{}\n", 1);
        assert!(forgery.is_refused(&forgery.whole()), "{name}");
    }
}

#[test]
fn members_twice_out_of_order_missing_or_additional_are_refused() {
    let mut twice = Forgery::new();
    twice.manifest.members.push(twice.manifest.members[0].clone());
    twice.files.push(twice.files[0].clone());
    assert!(twice.is_refused(&twice.whole()));

    let mut raw = Vec::new();
    push_record(&mut raw, &Call::new(2, "b").record()).unwrap();
    let mut swapped = Forgery::new();
    swapped.add("records/000002.jsonl.zst", &raw, 1);
    swapped.files.swap(0, 1);
    assert!(swapped.is_refused(&swapped.whole()));
    swapped.manifest.members.swap(0, 1);
    assert!(swapped.is_refused(&swapped.whole()));

    let mut missing = Forgery::new();
    missing.files.clear();
    assert!(missing.is_refused(&missing.whole()));
    let mut additional = Forgery::new();
    additional.manifest.members.clear();
    assert!(additional.is_refused(&additional.whole()));
}

#[test]
fn a_bomb_is_refused_before_it_expands() {
    let zeros = zeros();
    for raw in [1000, limits::MEMBER as u64, limits::LONE_MEMBER as u64, 256 << 20, 1 << 40, u64::MAX] {
        let forgery = Forgery::bomb(&zeros, raw);
        assert!(forgery.is_refused(&forgery.whole()), "{raw}");
    }
}

#[test]
fn content_that_differs_from_the_manifest_is_refused() {
    for change in 0..5 {
        let mut forgery = Forgery::new();
        let member = &mut forgery.manifest.members[0];
        match change {
            0 => member.sha256 = Hex([0; 32]),
            1 => member.raw -= 1,
            2 => member.raw += 1,
            3 => member.items = 2,
            _ => member.size += 1,
        }
        assert!(forgery.is_refused(&forgery.whole()), "{change}");
    }
    // A second frame, a skippable frame, or anything else behind the frame.
    for more in [zstd::bulk::compress(b"", 3).unwrap(), b"\x50\x2a\x4d\x18\0\0\0\0".to_vec(), vec![0]] {
        let mut forgery = Forgery::new();
        let (name, packed) = forgery.files.remove(0);
        let Member { raw, .. } = forgery.manifest.members.remove(0);
        forgery.add_packed(&name, [packed, more].concat(), raw, 1);
        assert!(forgery.is_refused(&forgery.whole()));
    }
}

#[test]
fn windows_above_the_limit_are_refused() {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(b"{}\n").unwrap();
    let mut forgery = Forgery::new();
    forgery.add_packed("records/000002.jsonl.zst", encoder.finish().unwrap(), 3, 1);
    assert!(forgery.is_refused(&forgery.whole()));
}

#[test]
fn manifests_that_break_the_format_are_refused() {
    let forgery = Forgery::new();
    let text = serde_json::to_string(&forgery.manifest).unwrap();
    let serial = "\"serial\":42";
    for (from, to) in [
        (serial, "\"serial\":42,\"serial\":42"),
        (serial, "\"serial\":42,\"more\":1"),
        (serial, "\"serial\":43"),
        (serial, "\"serial\":-1"),
        (serial, "\"serial\":1e99"),
        ("\"format\":1", "\"format\":2"),
        ("\"kind\":\"out\"", "\"kind\":\"back\""),
        ("\"kind\":\"out\"", "\"kind\":\"\\ud800\""),
        ("\"part\":[1,1]", "\"part\":[2,1]"),
        ("\"part\":[1,1]", "\"part\":[0,1]"),
        ("bundle", "recording"),
        ("}]}", "}]}x"),
        ("}]}", "}]"),
    ] {
        assert!(text.contains(from));
        assert!(forgery.is_refused(&forgery.archive(text.replacen(from, to, 1).as_bytes())), "{to}");
    }
    let deep = "[".repeat(100_000);
    assert!(forgery.is_refused(&forgery.archive(deep.as_bytes())));
    assert!(forgery.is_refused(&forgery.archive(&[b' '].repeat((4 << 20) + 1))));
    let mut many = Forgery::new();
    let member = many.manifest.members[0].clone();
    let numbered = |number| Member { name: format!("records/{number:06}.jsonl.zst"), ..member.clone() };
    many.manifest.members = (1..=limits::MEMBERS + 1).map(numbered).collect();
    assert!(many.is_refused(&many.whole()));
}

#[test]
fn lines_that_break_the_format_are_refused() {
    let mut raw = Vec::new();
    push_record(&mut raw, &Call::new(2, "b").record()).unwrap();
    let line = String::from_utf8(raw).unwrap();
    let deep = "[".repeat(100_000);
    for lines in [
        line.replace("\"tags\":[\"lab\"]", "\"tags\":[\"\\ud800\"]"),
        line.replace("\"flags\":0", "\"flags\":256"),
        line.replace("\"flags\":0", "\"flags\":0,\"sink\":\"os:system\""),
        line.replace("\"end\":", "\"end\":4294967295,\"x\":"),
        line.replace("\"ended\":\"ok\"", "\"ended\":\"no\""),
        line.trim_end().to_owned(),
        format!("{line}{line}"),
        deep,
    ] {
        let mut forgery = Forgery::new();
        forgery.add("records/000002.jsonl.zst", lines.as_bytes(), 1);
        assert!(forgery.is_refused(&forgery.whole()), "{}", &lines[..lines.len().min(100)]);
    }
}

#[test]
fn bodies_that_some_reader_cannot_read_are_refused() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    for body in [&deep, "{\"a\":\"\\ud800\"}", "{\"a\":\"\\udc00\"}", "{\"a\":1}{}", "{\"a\":01}"] {
        let header = RecordHeader { start: u32::try_from(body.len()).ok(), ..Call::new(2, "b").header };
        let line = serde_json::to_string(&header).unwrap();
        let mut forgery = Forgery::new();
        forgery.add("records/000002.jsonl.zst", format!("{line}\n{body}\n").as_bytes(), 1);
        assert!(forgery.is_refused(&forgery.whole()), "{}", &body[..body.len().min(100)]);
    }
}

#[test]
fn a_million_members_are_refused_at_the_first_that_the_manifest_lacks() {
    let forgery = Forgery::new();
    assert!(forgery.is_refused(&forgery.with_a_million_members()));
    let member = serde_json::to_string(&forgery.manifest.members[0]).unwrap();
    let text = serde_json::to_string(&forgery.manifest).unwrap();
    let many = vec![member.as_str(); 1_000_000 / 10].join(",");
    assert!(forgery.is_refused(&forgery.archive(text.replacen(&member, &many, 1).as_bytes())));
}

#[test]
fn a_fault_in_any_member_is_found_by_each_number_of_threads() {
    // Members are checked in threads, so the first, the last and a middle one may fail in any of them.
    for broken in [1, 2, 9, 17, 18] {
        let mut forgery = Forgery::new();
        for number in 2..=18 {
            let mut raw = Vec::new();
            push_record(&mut raw, &Call::new(number, "b").record()).unwrap();
            forgery.add(&format!("records/{number:06}.jsonl.zst"), &raw, 1);
        }
        assert!(!forgery.is_refused(&forgery.whole()));
        forgery.manifest.members[broken - 1].items = 2;
        assert!(forgery.is_refused(&forgery.whole()), "{broken}");
    }
}

#[test]
fn archives_with_other_headers_are_refused() {
    let forgery = Forgery::new();
    let whole = forgery.whole();
    let change = |edit: &dyn Fn(&mut [u8])| {
        let mut bytes = whole.clone();
        let header = &mut bytes[..tar::BLOCK];
        edit(header);
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes
    };
    for kind in *b"12345678xgLK\0" {
        assert!(forgery.is_refused(&change(&|header| header[156] = kind)), "type {kind}");
    }
    assert!(forgery.is_refused(&change(&|header| header[345..348].copy_from_slice(b"../"))));
    assert!(forgery.is_refused(&change(&|header| header[100..107].copy_from_slice(b"0004755"))));
    assert!(forgery.is_refused(&change(&|header| header[124..136].fill(0xff))));
    assert!(forgery.is_refused(&change(&|header| header[124..135].copy_from_slice(b"77777777777"))));
    assert!(forgery.is_refused(&[&whole[..], &[0; 512]].concat()));
    assert!(forgery.is_refused(&whole[..whole.len() - 512]));
    assert!(forgery.is_refused(b""));
    assert!(forgery.is_refused(&[&b"age-encryption.org/v1\n"[..], &[b'x'].repeat(100_000)].concat()));
}

#[test]
#[cfg(target_os = "linux")]
fn hostile_archives_take_little_memory() {
    if std::env::var_os(memory::ALONE).is_none() {
        // Other tests of this process would count too.
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        let output =
            alone.args(["--exact", "hostile_archives_take_little_memory"]).env(memory::ALONE, "1").output().unwrap();
        assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
        return;
    }
    let (forgery, zeros) = (Forgery::new(), zeros());
    for raw in [limits::LONE_MEMBER as u64, u64::MAX] {
        let bomb = Forgery::bomb(&zeros, raw);
        assert!(bomb.is_refused(&bomb.whole()));
    }
    assert!(forgery.is_refused(&forgery.with_a_million_members()));
    for manifest in ["[".repeat(4 << 20), "{\"a\":".repeat(600_000), format!("\"{}\"", "a".repeat(4 << 20))] {
        assert!(forgery.is_refused(&forgery.archive(manifest.as_bytes())));
    }
}
