"""Every tree of the store follows docs/reference/format.md: keys, values, checksums.

The tests read the trees with LMDB and the tables of the document, without plsync.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import lmdb
import orjson
import pytest

from plsync import Journal
from plsync.journal import Quota
from tests.support.root import ROOT
from tests.support.spooling import SpoolWriter, crc32c

T = 1_760_000_000_000
NEVER = 2**64 - 1
PENDING, LEASED, IN_DOUBT, ACKED, DEAD, HELD = range(6)
Tree = dict[bytes, bytes]

DOCUMENT = (ROOT / "docs" / "reference" / "format.md").read_text(encoding="utf-8")


def be(number: int, width: int = 8) -> bytes:
    return number.to_bytes(width, "big")


def le(number: int, width: int = 8) -> bytes:
    return number.to_bytes(width, "little")


def seal(key: bytes, value: bytes) -> bytes:
    return le(crc32c(key + value), 4)


@pytest.fixture(scope="module")
def ids() -> list[bytes]:
    return []


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, ids: list[bytes]) -> Iterator[dict[str, Tree]]:
    """A store with a record in every state, follow-ups, callbacks and a quota; record n has the sequence number n."""
    path = tmp_path_factory.mktemp("format") / "journal"
    writer = SpoolWriter(path)
    for number in range(6):
        body = {
            "run_id": f"00000000-0000-0000-0000-00000000000{number}",
            "params": {"model": "m.gguf"},
            "sink": "app:got",
        }
        record_id = writer.call(f"q{number}", "a", at=T + number, tags=["t"], **body)
        ids.append(bytes.fromhex(record_id.replace("-", "")))
    running = writer.start({"kind": "chat"}, at=T + 6)
    ids.append(bytes.fromhex(running.replace("-", "")))
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
        journal.callbacks.subscribe("command")
        journal._store.bind("https://one.example", b"1" * 16)
        journal.outbox.ack([(2, 1002), (1, 1001)])
        journal._store.park([3], DEAD, "no", 0)
        journal._store.park([4], IN_DOUBT, "hm", T + 99)
        journal._store.park([5], HELD, "eh", 0)
        journal._store.bind("https://two.example", b"2" * 16, how="leave")
        journal.track.score(str(UUID(bytes=ids[0])), 7)
        journal.track.metadata(str(UUID(bytes=ids[5])), {"a": "b"})
        journal.track.score(4711, 90)
        journal.track.score(4712, 80)
        journal.followups.done(journal.followups.of(4712), 201)
        journal.set_quota(Quota(max_bytes=10**12, max_age=timedelta(days=30), policy="drop-oldest"))
        journal.digests.fill()
        copy = shutil.copytree(path / "lmdb", path.parent / "copy", ignore=shutil.ignore_patterns("lock.mdb"))
    writer.close()
    with lmdb.open(str(copy), readonly=True, lock=False, max_dbs=32) as environment, environment.begin() as transaction:
        names = [name for name, _ in transaction.cursor()]
        yield {
            name.decode(): dict(transaction.cursor(db=environment.open_db(name, transaction, create=False)))
            for name in names
        }


def test_the_store_has_the_trees_of_the_document(store: dict[str, Tree]) -> None:
    table = DOCUMENT.split("| tree | key | value |", 1)[1].split("\n\n", 1)[0]
    documented = {row.split("|")[1].strip(" `") for row in table.splitlines()[2:]} - {""}
    assert set(store) == documented
    assert len(documented) == 29
    assert "Twenty-nine named trees" in DOCUMENT


def test_meta_has_the_format_the_counts_the_quota_and_the_dictionaries(store: dict[str, Tree]) -> None:
    meta = store["meta"]
    assert meta[b"format"] == le(1, 4)
    counts = struct.unpack("<24Q", meta[b"counts"])
    last, without_end, raw, stored, damaged, failures, *states = counts[:12]
    assert (last, without_end, damaged, failures) == (7, 1, 0, 0)
    assert raw >= stored > 0
    assert states == [2, 0, 1, 2, 1, 1]
    assert counts[17] == 4  # the last number of a follow-up
    assert not any(counts[18:])
    quota = meta[b"quota"]
    assert struct.unpack_from("<QQB", quota) == (10**12, 30 * 86_400_000, 1)
    assert quota[17:] == seal(b"quota", quota[:17])
    for key, value in meta.items():
        if key.startswith(b"dict/"):
            assert 0 < len(value) <= 64 << 10


def test_cursors_hold_the_position_in_a_segment(store: dict[str, Tree]) -> None:
    ((key, value),) = store["cursors"].items()
    assert (len(key), key[16:]) == (20, be(0, 4))
    offset, stepped_over = struct.unpack_from("<QB", value)
    assert (offset > 0, offset % 8, stepped_over) == (True, 0, 0)
    assert value[9:] == seal(key, value[:9])


def test_ids_and_labels_lead_to_sequence_numbers(store: dict[str, Tree], ids: list[bytes]) -> None:
    for tree in ("ids", "labels"):
        for key, value in store[tree].items():
            assert value == seal(key, value[4:]) + be(ids.index(key[-16:]) + 1)
    assert set(store["ids"]) == set(ids)
    found = {(key[:1], key[2 : 2 + key[1]]) for key in store["labels"] if key[-16:] == ids[0]}
    assert found == {(b"r", bytes(16)), (b"t", b"t"), (b"m", b"m.gguf")}


def test_digests_lie_in_blocks_and_name_their_models(store: dict[str, Tree], ids: list[bytes]) -> None:
    ((key, block),) = store["digests"].items()
    assert (key, len(block)) == (be(0), 85 * 48)
    names = {}
    for key, value in store["digest_names"].items():
        assert value[-4:] == seal(key, value[:-4])
        if key[1:2] == b"i":
            names[key[:1], int.from_bytes(key[2:], "big")] = value[:-4]
            assert store["digest_names"][key[:1] + b"n" + value[:-4]][:-4] == key[2:]
    for seq, record_id in enumerate(ids, 1):
        row = block[(seq - 1) * 48 : seq * 48]
        ended, kind, flags, provider, model, duration, first, sent, received, cached, checksum = struct.unpack(
            "<6xBBHHIQQIIII", row
        )
        assert int.from_bytes(row[:6], "little") == int.from_bytes(record_id[:6], "big")
        assert (ended, kind) == (0 if seq == 7 else 1, 1)
        assert flags == (3 if seq == 7 else 11)
        assert (duration, first, sent, received, cached) == (0 if seq == 7 else 1_000_000, 0, 0, 0, 0)
        assert provider == 0
        assert names.get((b"m", model)) == (None if seq == 7 else b"m.gguf")
        assert checksum == crc32c(be(seq) + row[:44])
    assert block[len(ids) * 48 :] == bytes((85 - len(ids)) * 48)
    progress = store["meta"][b"digests"]
    assert struct.unpack_from("<3Q", progress) == (0, 7, 0)
    assert progress[24:] == seal(b"digests", progress[:24])


def test_bodies_are_stored_by_part_and_state_rows_by_number(store: dict[str, Tree], ids: list[bytes]) -> None:
    parts = {be(seq) + bytes([part]) for seq in range(1, 7) for part in (0, 1)}
    assert set(store["records"]) == parts | {be(7) + b"\0"}
    for key, row in store["state"].items():
        seq = int.from_bytes(key, "big")
        state, ended, _, _, _, sink, checksum, _, _, changed = struct.unpack_from("<BBBBIIIQQQ", row)
        assert checksum == crc32c(key + row[:12] + bytes(4) + row[16:])
        assert state == {1: ACKED, 2: ACKED, 3: DEAD, 4: IN_DOUBT, 5: HELD}.get(seq, PENDING)
        assert ended == (0 if seq == 7 else 1)
        assert changed > T
        assert row[56:72] == ids[seq - 1]
        assert sink == (0 if seq == 7 else number_of(store, b"app:got"))
        assert row[72:] == {3: b"no", 4: b"hm", 5: b"eh"}.get(seq, b"")


def number_of(store: dict[str, Tree], sink: bytes) -> int:
    return int.from_bytes(store["sinks"][b"n" + sink][:4], "big")


def test_a_record_is_in_exactly_one_list(store: dict[str, Tree]) -> None:
    (key,) = store["outbox"]
    assert (len(key), key[9:], store["outbox"][key]) == (17, be(6), b"")
    ((key, value),) = store["open"].items()
    assert (key[16:], value) == (be(7), b"")
    assert set(store["parked"]) == {bytes([state]) + be(seq) for seq, state in ((3, DEAD), (4, IN_DOUBT), (5, HELD))}
    assert all(len(lane) == 1 for lane in store["parked"].values())


def test_acks_are_found_by_record_by_order_and_by_request(store: dict[str, Tree]) -> None:
    for key, value in store["acks"].items():
        request_id, when, server = struct.unpack_from("<QQI", value)
        assert request_id == 1000 + int.from_bytes(key, "big")
        assert (when > T, server) == (True, 1)
        assert value[20:] == seal(key, value[:20])
    assert {key: value[4:] for key, value in store["ack_order"].items()} == {be(1): be(2), be(2): be(1)}
    assert all(value[:4] == seal(key, value[4:]) for key, value in store["ack_order"].items())
    assert store["by_request"] == {be(1001): be(1), be(1002): be(2)}


def test_servers_have_their_acks_and_their_records_in_doubt(store: dict[str, Tree]) -> None:
    for key, value in store["servers"].items():
        account, first, last, acked = struct.unpack_from("<4x16sQQQ", value)
        assert account == str(key[-1]).encode() * 16
        assert (acked, value[44:-4]) == {1: (2, b"https://one.example"), 2: (0, b"https://two.example")}[key[-1]]
        assert first <= last
        assert value[-4:] == seal(key, value[:-4])
    assert set(store["servers"]) == {be(1, 4), be(2, 4)}
    assert store["elsewhere"] == {be(4): le(1, 4) + seal(be(4), le(1, 4))}
    assert store["meta"][b"bound"] == le(2, 4) + seal(b"bound", le(2, 4))


def test_sinks_have_numbers_and_names(store: dict[str, Tree]) -> None:
    for key, value in store["sinks"].items():
        assert value[-4:] == seal(key, value[:-4])
        if key[:1] == b"n":
            assert store["sinks"][b"i" + value[:4]][:-4] == key[1:]
    assert {key[1:] for key in store["sinks"] if key[:1] == b"n"} == {b"app:got", b"command"}
    ((key, value),) = store["positions"].items()
    assert (key, value) == (be(number_of(store, b"command"), 4), le(0) + seal(key, le(0)))


def test_callbacks_are_indexed_by_their_due_time(store: dict[str, Tree]) -> None:
    sink = be(number_of(store, b"app:got"), 4)
    assert set(store["callbacks"]) == {sink + be(1), sink + be(2)}
    writers = {key: row[40:56] for key, row in store["state"].items()}
    for key, value in store["callbacks"].items():
        attempts, dead, due, leased_until, checksum = struct.unpack_from("<IB3xQQI", value)
        assert (attempts, dead, value[28:]) == (0, 0, b"")
        assert checksum == crc32c(key + value[:24] + value[28:])
        when = NEVER if dead else max(due, leased_until)
        assert sink + writers[key[4:]] + be(when) + key[4:] in store["callbacks_due"]
    assert len(store["callbacks_due"]) == 2


def test_follow_ups_are_stored_by_their_record_or_request(store: dict[str, Tree]) -> None:
    read = {}
    for key, value in store["followups"].items():
        kind, subject, number = struct.unpack(">BQQ", key)
        dead, op, error, failed, due, queued = struct.unpack_from("<BBHIQQ", value)
        assert (dead, error, failed, due) == (0, 0, 0, 0)
        assert queued > T
        assert value[-4:] == seal(key, value[:-4])
        read[number] = (kind, subject, op, orjson.loads(value[24:-4]))
    assert [(kind, subject, op) for kind, subject, op, _ in (read[1], read[2], read[3])] == [
        (0, 1, 1),
        (0, 6, 2),
        (1, 4711, 1),
    ]
    assert all("request_id" not in payload for *_, payload in read.values())
    # One record lacks a request id, so its follow-up is not due. The other two are due at once.
    assert set(store["followup_work"]) == {b"\0" + be(0) + b"\0" + be(1), b"\0" + be(0) + b"\1" + be(4711)}
    assert all(value == seal(key, b"") for key, value in store["followup_work"].items())


def test_a_sent_follow_up_keeps_its_key_and_payload(store: dict[str, Tree]) -> None:
    ((key, value),) = store["followups_sent"].items()
    assert struct.unpack(">BQQ", key) == (1, 4712, 4)
    sent, op, status, failed, sent_at, queued = struct.unpack_from("<BBHIQQ", value)
    assert (sent, op, status, failed) == (2, 1, 201, 0)
    assert sent_at >= queued > T
    assert orjson.loads(value[24:-4]) == {"score": 80}
    assert value[-4:] == seal(key, value[:-4])


def test_nothing_is_damaged(store: dict[str, Tree]) -> None:
    assert store["damage"] == {}
