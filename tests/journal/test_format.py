"""The format is open: a short reader, written from docs/reference/format.md alone, finds every record of a journal.

The reader must not import plsync.
"""

from __future__ import annotations

import re
import shutil
import struct
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import lmdb
import orjson
import pytest
import zstandard
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from plsync import Journal, PromptLayerCallbackHandler
from tests.support.spooling import SpoolWriter, crc32c

STATES = ("pending", "leased", "in_doubt", "acked", "dead", "held")

# Plain prose, in words that no dictionary was trained on.
_PROSE = """The lighthouse keeper wrote down the wind every evening, though nobody had asked for it
since the harbour closed.
His notebooks fill two shelves in the museum now, and a student from Bergen has begun to compare them with the
satellite record.

Sourdough wants patience more than skill. Feed the starter twice before you bake, keep the dough somewhere warm, and
trust your fingers over the clock: when a dent fills slowly and not quite completely, the loaf is ready for the
oven.

Our invoice shows a charge for eleven seats, but three colleagues left in March and their licences were cancelled
the same week. Could you correct the amount, and let me know whether the difference is refunded or credited against
the next quarter?

Glaciers are often described as frozen rivers, which is close to the truth. Snow that never melts is pressed into
ice by the weight of later winters, and the ice creeps downhill under its own load, grinding the rock beneath into a
fine grey flour.

The committee could not agree on a colour for the railings. Green was too cheerful, brown too gloomy, and white
would show every mark the pigeons left; in the end they stayed as they had always been, a rusty and rather handsome
red.

To replace the battery, first undo the four screws on the underside and lift the cover from the hinge. Disconnect
the ribbon before you pull: it tears easily, and a torn one costs nearly as much as the whole keyboard."""
PROSE = _PROSE.split("\n\n")


class Reader:
    """Reads a journal's directory. Records by id: state, ended, request id, and the bodies of start and end."""

    def __init__(self, journal: Path) -> None:
        self.records: dict[bytes, dict[str, Any]] = {}
        stores = [(int(found[1] or 0), path) for path in journal.iterdir() if (found := _is_store(path))]
        for _, store in sorted(stores)[-1:]:
            self._read_store(store)
        for segment in sorted((journal / "spool").glob("*.seg")):
            self._read_segment(segment.read_bytes())

    def _read_store(self, store: Path) -> None:
        with (
            lmdb.open(str(store), readonly=True, lock=False, max_dbs=32) as environment,
            environment.begin() as transaction,
        ):
            meta, state, records, acks = (
                dict(transaction.cursor(db=environment.open_db(name, transaction, create=False)))
                for name in (b"meta", b"state", b"records", b"acks")
            )
        seqs = {row[56:72]: seq for seq, row in state.items()}

        def start_of(root: bytes) -> bytes:
            return _body(root, records[seqs[root] + b"\0"], meta)

        for seq, row in state.items():
            assert struct.unpack_from("<I", row, 12) == (crc32c(seq + row[:12] + bytes(4) + row[16:]),)
            record = self.records[row[56:72]] = {"state": STATES[row[0]], "ended": row[1]}
            record["not_before"] = int.from_bytes(row[16:24], "little")
            record["request_id"] = int.from_bytes(acks[seq][:8], "little") if seq in acks else None
            for part, name in ((b"\0", "start"), (b"\1", "end")):
                if stored := records.get(seq + part):
                    record[name] = _body(row[56:72], stored, meta, start_of)

    def _read_segment(self, data: bytes) -> None:
        offset = 0
        while data[offset : offset + 4] == b"PLSF":
            kind, _, ended, length, labels = struct.unpack_from("<xBBBIH", data, offset + 4)
            payload = data[offset + 48 : offset + 48 + length]
            assert struct.unpack_from("<II", data, offset + 40) == (crc32c(payload), crc32c(data[offset : offset + 44]))
            if kind in (2, 3):
                record = self.records.setdefault(
                    data[offset + 24 : offset + 40], {"state": "pending", "ended": 0, "request_id": None}
                )
                record["ended"] = record["ended"] or ended
                record.setdefault({2: "start", 3: "end"}[kind], payload[labels:])
            offset += -(-(48 + length) // 8) * 8


def _is_store(path: Path) -> re.Match[str] | None:
    return re.fullmatch(r"lmdb(?:-(\d+))?", path.name)


def _body(
    record_id: bytes,
    stored: bytes,
    meta: dict[bytes, bytes],
    start_of: Callable[[bytes], bytes] | None = None,
) -> bytes:
    codec, _, number, length, crc, owner = struct.unpack_from("<BBHIII", stored)
    data = stored[16:]
    if codec == 1:
        data = zstandard.ZstdDecompressor().decompress(data, max_output_size=length)
    elif codec == 2:
        dictionary = zstandard.ZstdCompressionDict(meta[b"dict/%d" % number])
        data = zstandard.ZstdDecompressor(dict_data=dictionary).decompress(data, max_output_size=length)
    elif codec == 3:
        assert start_of is not None
        root, data = data[:16], data[16:]
        dictionary = zstandard.ZstdCompressionDict(meta[b"dict/%d" % number] + start_of(root))
        data = zstandard.ZstdDecompressor(dict_data=dictionary).decompress(data, max_output_size=length)
    assert (len(data), crc32c(data), crc32c(record_id)) == (length, crc, owner)
    return data


def read_copy(journal: Path, to: Path) -> dict[bytes, dict[str, Any]]:
    """The records that the reader finds in a copy of a journal. LMDB has locked the journal itself."""
    return Reader(shutil.copytree(journal, to, ignore=shutil.ignore_patterns("lock.mdb"))).records


def record_prose(handler: PromptLayerCallbackHandler, number: int) -> None:
    """A chat call of about 3 KB."""
    texts = [PROSE[(number + step) % len(PROSE)] for step in range(5)]
    run_id = uuid4()
    messages = [SystemMessage(texts[0]), HumanMessage(texts[1]), AIMessage(texts[2]), HumanMessage(texts[3])]
    handler.on_chat_model_start(
        {"id": ["langchain_openai", "chat_models", "base", "ChatOpenAI"]},
        [messages],
        run_id=run_id,
        tags=["prose"],
        metadata={"ls_provider": "openai", "ls_model_name": "gpt-4o", "ls_model_type": "chat"},
        invocation_params={"model": "gpt-4o", "stream": False, "_type": "openai-chat", "stop": None},
        options={"stop": None},
        name="ChatOpenAI",
    )
    handler.on_llm_end(LLMResult(generations=[[ChatGeneration(message=AIMessage(texts[4]))]]), run_id=run_id)


@pytest.mark.parametrize("compacted", [False, True])
def test_a_reader_made_from_the_documentation_finds_every_record(tmp_path: Path, compacted: bool) -> None:
    path = tmp_path / "journal"
    handler = PromptLayerCallbackHandler(journal=path)
    for number in range(20):
        record_prose(handler, number)
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
        journal.outbox.ack([(3, 1234)])
        if compacted:
            journal.compact()
        known = {record.trace_id: record for record in journal.records()}
        found = read_copy(path, tmp_path / "copy")
        assert {record_id.hex() for record_id in found} == known.keys()
        for record_id, record in found.items():
            row = journal._store.get(record_id)
            assert row is not None
            assert (record["start"], record["end"], record["ended"]) == (row.start, row.end, row.ended)
            assert (record["state"], record["request_id"]) == (known[record_id.hex()].state, row.request_id)


def test_the_reader_reads_calls_that_repeat_the_start_of_their_root(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    root, call = uuid4(), uuid4()
    handler = PromptLayerCallbackHandler(journal=path)
    messages: list[BaseMessage] = [HumanMessage(text) for text in PROSE[:8]]
    handler.on_chain_start(None, {"messages": messages}, run_id=root, name="agent")
    handler.on_chat_model_start({}, [messages], run_id=call, parent_run_id=root)
    handler.on_chain_end({}, run_id=root)
    with Journal.open(path) as journal:
        (record,) = journal.records()
        row = journal._store.get(UUID(record.id).bytes)
        assert row is not None and row.start is not None
        # The texts are stored once.
        assert journal.stats().stored_bytes < 1.4 * len(zstandard.compress(row.start))
        assert read_copy(path, tmp_path / "copy")[row.id]["start"] == row.start


def test_a_reader_that_knows_no_bundles_finds_carried_calls_in_doubt_and_never_due(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    writer = SpoolWriter(path)
    carried, received = (writer.call("question", "answer", at=number).replace("-", "") for number in (1, 2))
    writer.close()
    with Journal.open(path) as journal:
        hub = journal.bundles.hub("0" * 16)
        for record in list(journal.records(oldest_first=True)):
            bundle = bytes([record.seq]) * 32
            journal.bundles.begin(bundle, hub=hub, serial=1, part=(1, 1), seqs=[record.seq], followups=[])
            journal.bundles.written(bundle)
        journal.bundles.receive(journal.bundles.all()[1:])
        assert {record.state for record in journal.records()} == {"carried", "received"}
    found = read_copy(path, tmp_path / "copy")
    for record_id in (carried, received):
        row = found[bytes.fromhex(record_id)]
        assert row["state"] == "in_doubt"
        # In the year 9999, and still a date of Python.
        assert datetime.fromtimestamp(row["not_before"] / 1000, tz=timezone.utc).year == 9999


def test_the_reader_finds_events_in_the_spool(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "journal")
    record_id = writer.call("How deep is the lake?", "Very", at=1_760_000_000_000)
    running = writer.start({"kind": "chat", "messages": []}, at=1_760_000_000_001)
    writer.close()
    found = read_copy(tmp_path / "journal", tmp_path / "copy")
    assert {orjson.loads(record["start"])["t"] for record in found.values()} == {
        1_760_000_000_000 * 10**6,
        1_760_000_000_001 * 10**6,
    }
    assert {record_id.hex() for record_id in found} == {record_id.replace("-", ""), running.replace("-", "")}
    assert sorted(record["ended"] for record in found.values()) == [0, 1]


def test_chat_calls_in_plain_english_take_less_than_half_of_their_json(tmp_path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=tmp_path)
    for number in range(50):
        record_prose(handler, number)
    with Journal.open(tmp_path) as journal:
        stats = journal.stats()
        assert 2500 < stats.raw_bytes / stats.records < 3500
        assert stats.stored_bytes / stats.raw_bytes < 0.45
