"""Searches every file of a journal for a text: raw bytes, and all that can be decompressed, also in free pages."""

from __future__ import annotations

import struct
from pathlib import Path

import zstandard

from tests.support.root import ROOT

_PAGE, _BRANCH, _LEAF = 4096, 1, 2
_MAGIC = b"\x28\xb5\x2f\xfd"
_DICTIONARIES = [
    zstandard.ZstdCompressionDict(path.read_bytes()) for path in sorted((ROOT / "rust/journal/dict").glob("*.zdict"))
]


def files_with(journal: Path, text: str) -> list[str]:
    """The names of the files that contain the text, in any form that plsync stores."""
    wanted = text.encode()
    return sorted(
        str(path.relative_to(journal))
        for path in journal.rglob("*")
        if path.is_file() and _contains(path.read_bytes(), wanted)
    )


def unused_bytes(journal: Path) -> bytes:
    """The bytes of the store's pages that belong to no entry, without zeros. LMDB leaves old entries there."""
    (store,) = journal.glob("lmdb*/data.mdb")
    data = store.read_bytes()
    found = b""
    for at in range(2 * _PAGE, len(data), _PAGE):
        kind, lower, upper = struct.unpack_from("<HHH", data, at + 10)
        if int.from_bytes(data[at : at + 8], "little") == at // _PAGE and kind in {_BRANCH, _LEAF}:
            found += data[at + lower : at + upper].strip(b"\0")
    return found


def _contains(data: bytes, wanted: bytes) -> bool:
    if wanted in data:
        return True
    at = data.find(_MAGIC)
    while at >= 0:
        if any(wanted in body for body in _decompressed(data[at : at + (1 << 20)])):
            return True
        at = data.find(_MAGIC, at + 1)
    return False


def _decompressed(data: bytes) -> list[bytes]:
    found = []
    for dictionary in [None, *_DICTIONARIES]:
        decompressor = zstandard.ZstdDecompressor(dict_data=dictionary).decompressobj()
        parts = []
        try:
            # In pieces: a frame whose end was overwritten still yields its beginning.
            for start in range(0, len(data), 64):
                parts.append(decompressor.decompress(data[start : start + 64]))
                if decompressor.eof:
                    break
        except zstandard.ZstdError:
            pass
        found.append(b"".join(parts))
    return found
