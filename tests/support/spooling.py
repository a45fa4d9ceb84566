"""A second writer of the spool format, in a few lines of Python and from docs/reference/format.md alone.

Unlike a live handler it writes chosen times, processes that died, and broken bytes.
"""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

import orjson

SEGMENT, START, END, RAW, RUN_START, RUN_END = 1, 2, 3, 4, 5, 6
ENDED = {"ok": 1, "error": 2, "cancelled": 3, "partial": 4}
CACHED, LOSSY, REDACTED = 1, 2, 4


class SpoolWriter:
    """Appends events to one segment of a journal; open calls are abandoned once it is closed."""

    def __init__(self, journal: Path) -> None:
        self.spool = journal / "spool"
        self.writer = _new_id(1_700_000_000_000)
        self.frames = 0
        self.spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (journal / "FORMAT").exists():
            (journal / "FORMAT").write_text(f"plsync journal\nformat 1\nid {self.writer.hex()}\n")
        self._lock: BinaryIO = (self.spool / f"{self.writer.hex()}.lock").open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._note(failures=0, reason="")
        self.path = self.spool / f"{self.writer.hex()}-00000000.seg"
        described = struct.pack("<IIIQ16x", 1, 0, os.getpid(), 1_700_000_000_000)
        self._append(SEGMENT, self.writer, b"", described)

    def close(self) -> None:
        """End the process. The writer file reports its last failures, as a live handler's does."""
        if not self._lock.closed:
            self._note(failures=self._failures, reason=self._reason)
            self._lock.close()

    def start(
        self,
        body: dict[str, Any] | bytes,
        *,
        at: int,
        tags: list[str] | None = None,
        flags: int = 0,
        is_run: bool = False,
    ) -> str:
        """Write the start of a call or a run, ``at`` ms since the epoch. Returns the record id."""
        record_id = _new_id(at)
        labels = _root(record_id, body, is_run=is_run)
        labels += [(b"t", tag.encode()) for tag in tags or []]
        if isinstance(body, dict):
            body = {"v": 1, "t": at * 1_000_000, "tags": tags or [], **body}
            labels += [(b"r", UUID(body["run_id"]).bytes)] if body.get("run_id") else []
            labels += [(b"p", UUID(body["parent_run_id"]).bytes)] if body.get("parent_run_id") else []
            labels += [(b"m", body["params"]["model"].encode())] if body.get("params") else []
            labels += [(b"s", body.pop("sink").encode())] if body.get("sink") else []
            body = orjson.dumps(body)
        section = b"".join(kind + bytes([len(value)]) + value for kind, value in labels)
        self._append(RUN_START if is_run else START, record_id, section, body, flags=flags)
        return str(UUID(bytes=record_id))

    def run(self, kind: str, name: str, *, at: int, root: str | None = None, ended: str = "ok", **fields: Any) -> str:
        """Write a run that is no call. ``end`` has the fields of its end. Returns the record id."""
        end = fields.pop("end", {})
        body = {"kind": kind, "name": name, **({"root": UUID(root).hex} if root else {}), **fields}
        record_id = self.start(body, at=at, is_run=True)
        labels = b"R\x10" + UUID(root or record_id).bytes
        encoded = orjson.dumps({"v": 1, "elapsed": 1_000_000, "error": None, **end})
        self._append(RUN_END, UUID(record_id).bytes, labels, encoded, ended=ENDED[ended])
        return record_id

    def end(self, record_id: str, body: dict[str, Any], *, ended: str = "ok", flags: int = 0) -> None:
        """Write the end of a call."""
        encoded = orjson.dumps({"v": 1, "elapsed": 1_000_000, "error": None, **body})
        self._append(END, UUID(record_id).bytes, b"", encoded, flags=flags, ended=ENDED[ended])

    def call(self, prompt: str, answer: str, *, at: int, **start: Any) -> str:
        """Write a chat call that succeeded. Returns the record id."""
        message = {"$": "HumanMessage", "v": {"type": "human", "content": prompt}}
        tags = start.pop("tags", None)
        record_id = self.start({"kind": "chat", "messages": [message], **start}, at=at, tags=tags)
        reply = {"$": "AIMessage", "v": {"type": "ai", "content": answer}}
        self.end(record_id, {"generations": [{"$": "ChatGeneration", "v": {"text": answer, "message": reply}}]})
        return record_id

    def fail(self, reason: str) -> None:
        """Count an event that could not be recorded."""
        self._note(failures=1, reason=reason)

    def _note(self, *, failures: int, reason: str) -> None:
        self._failures, self._reason = failures, reason
        counted = struct.pack("<4sIQQQ8x", b"PLSW", os.getpid(), 1_700_000_000_000, failures, self.frames)
        self._lock.seek(0)
        self._lock.write((counted + reason.encode()).ljust(256, b"\0"))
        self._lock.flush()

    def _append(
        self, kind: int, record_id: bytes, labels: bytes, body: bytes, *, flags: int = 0, ended: int = 0
    ) -> None:
        payload = labels + body
        header = struct.pack(
            "<4s4BIHBxQ16s", b"PLSF", 1, kind, flags, ended, len(payload), len(labels), 0, self.frames, record_id
        )
        header += struct.pack("<I", crc32c(payload))
        header += struct.pack("<I", crc32c(header))
        frame = header + payload
        with self.path.open("ab") as segment:
            segment.write(frame.ljust(-(-len(frame) // 8) * 8, b"\0"))
        self.frames += 1


def _root(record_id: bytes, body: dict[str, Any] | bytes, *, is_run: bool) -> list[tuple[bytes, bytes]]:
    """The label of the root of a tree, which stands first."""
    root = body.get("root") if isinstance(body, dict) else None
    if root is not None:
        return [(b"R", bytes.fromhex(root))]
    return [(b"R", record_id)] if is_run else []


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), reflected polynomial 0x82F63B78."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _table_entry(crc: int) -> int:
    for _ in range(8):
        crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc


_TABLE = [_table_entry(byte) for byte in range(256)]


def _new_id(at: int) -> bytes:
    """A UUIDv7 of a time in ms since the epoch."""
    random = int.from_bytes(os.urandom(10), "big")
    value = (at << 80) | (random & ~(0xF << 76) & ~(0x3 << 62)) | (0x7 << 76) | (0x2 << 62)
    return value.to_bytes(16, "big")
