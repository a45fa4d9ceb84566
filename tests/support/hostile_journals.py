"""The hostile corpus: journals whose store was damaged by a disk, or made by an attacker.

``DAMAGES`` and ``ENTRY_DAMAGES`` are dicts from a short name to a function that changes a journal in place. The name is
the id of the parametrised test. ``damaged_at_random`` changes a journal by a seed. To add a kind of damage, add a
function to one of them.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import lmdb

from plsync import Journal
from tests.support.root import ROOT
from tests.support.spooling import SpoolWriter, crc32c

__all__ = ["DAMAGES", "ENTRY_DAMAGES", "TREES", "damaged_at_random", "entries_of_trees", "rich_journal"]

PAGE = 4096
_GOLDEN = ROOT / "rust" / "journal" / "tests" / "golden" / "format-1" / "journal"
_START = 1_760_000_000_000


def rich_journal(path: Path) -> list[str]:
    """Make a journal with values of several pages, and an entry in every tree but `damage`, and `returns` of a hub.

    Returns the ids of its records.
    """
    writer = SpoolWriter(path)
    ids = []
    for number in range(60):
        about = {"params": {"model": f"m{number % 3}"}, "run_id": f"00000000-0000-0000-0000-{number:012}"}
        about |= {"sink": "app:got"} if number % 2 else {}
        # Random characters are not compressed.
        filler = random.Random(number).randbytes(9000 if number % 7 == 0 else 40).hex()  # noqa: S311 - repeatable
        ids.append(writer.call(f"Question {filler}", "Answer", at=_START + number, tags=["a", f"t{number}"], **about))
    writer.fail("disk full")
    writer.start({"kind": "chat", "messages": []}, at=_START + 900)
    with Journal.open(path) as journal:
        journal.callbacks.subscribe("command")
        journal.ingest(wait=True)
        journal.outbox.bind("https://one.example", b"1" * 16)
        journal.outbox.ack([(seq, 100 + seq) for seq in range(1, 20)])
        journal.outbox.park([21], "dead", "the reason")
        journal.outbox.park([22], "held", "the reason")
        journal.outbox.park([23], "in_doubt", "the reason")
        journal.outbox.bind("https://two.example", b"2" * 16, how="leave")
        journal.track.score(ids[3], 90)
        journal.track.score(4711, 90)
        journal.track.score(4712, 90)
        journal.followups.done(journal.followups.of(4712), 201)
        exported = b"b" * 32
        journal.bundles.begin(
            exported, hub=journal.bundles.hub("1" * 16), serial=1, part=(1, 1), seqs=[31, 32], followups=[]
        )
        journal.bundles.written(exported)
        journal.digests.fill()
    for number in range(5):
        writer.start({"kind": "chat", "messages": [], "number": number}, at=_START + 1000 + number)
    writer.close()
    return ids


def _data(journal: Path) -> Path:
    return journal / "lmdb" / "data.mdb"


def _edit(journal: Path, change: Callable[[bytearray], None]) -> None:
    data = bytearray(_data(journal).read_bytes())
    change(data)
    _data(journal).write_bytes(data)


def _pages(data: bytearray, flags: int) -> list[int]:
    """The offsets of the pages with these flags, of any commit."""
    starts = range(2 * PAGE, len(data), PAGE)
    return [at for at in starts if struct.unpack_from("<Q2xH", data, at) == (at // PAGE, flags)]


def _everywhere(flags: int, change: Callable[[bytearray, int], None]) -> Callable[[Path], None]:
    """Change each page with these flags: branch 1, leaf 2, first page of a long value 4."""

    def damage(journal: Path) -> None:
        def edit(data: bytearray) -> None:
            for at in _pages(data, flags):
                change(data, at)

        _edit(journal, edit)

    return damage


def _meta(offset: int, form: str, value: int) -> Callable[[Path], None]:
    """Change a field of both meta pages."""

    def edit(data: bytearray) -> None:
        for page in (0, PAGE):
            struct.pack_into(form, data, page + 16 + offset, value)

    return lambda journal: _edit(journal, edit)


def _whole(make: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Replace the file."""

    def damage(journal: Path) -> None:
        _data(journal).write_bytes(make(_data(journal).read_bytes()))

    return damage


def _node(data: bytearray, page: int, slot: int = 0) -> int:
    (offset,) = struct.unpack_from("<H", data, page + 16 + 2 * slot)
    return page + int(offset)


def _put(form: str, offset: int, value: int) -> Callable[[bytearray, int], None]:
    return lambda data, page: struct.pack_into(form, data, page + offset, value)


def _put_node(form: str, offset: int, value: int) -> Callable[[bytearray, int], None]:
    def change(data: bytearray, page: int) -> None:
        struct.pack_into(form, data, _node(data, page) + offset, value)

    return change


def _own_child(data: bytearray, page: int) -> None:
    struct.pack_into("<I", data, _node(data, page), page // PAGE)


def _free_list(journal: Path) -> None:
    """Name pages in use as free: the root of the tree of trees, and its neighbours, in each entry of the free list."""
    data = bytearray(_data(journal).read_bytes())
    meta = max((0, PAGE), key=lambda page: struct.unpack_from("<Q", data, page + 16 + 128))
    (free_root,), (used,) = (struct.unpack_from("<Q", data, meta + 16 + at) for at in (64, 112))
    slots = (struct.unpack_from("<H", data, free_root * PAGE + 12)[0] - 16) // 2
    for node in (_node(data, free_root * PAGE, slot) for slot in range(slots)):
        count = struct.unpack_from("<I", data, node)[0] // 8 - 1
        highest = min(used + count, len(data) // PAGE) - 1
        struct.pack_into(f"<{count + 1}Q", data, node + 16, count, *range(highest, highest - count, -1))
    _data(journal).write_bytes(data)


def _entries(tree: str, change: Callable[[lmdb.Transaction], None]) -> Callable[[Path], None]:
    """Change the entries of a tree by LMDB itself: the structure of the file stays whole."""

    def damage(journal: Path) -> None:
        with lmdb.open(str(journal / "lmdb"), max_dbs=32, map_size=1 << 28) as env:
            # The first stores lack some trees.
            database = env.open_db(tree.encode(), create=True)
            with env.begin(write=True, db=database) as transaction:
                change(transaction)

    return damage


TREES = (
    "meta",
    "cursors",
    "records",
    "ids",
    "labels",
    "state",
    "outbox",
    "open",
    "parked",
    "acks",
    "ack_order",
    "positions",
    "by_request",
    "servers",
    "elsewhere",
    "sinks",
    "callbacks",
    "callbacks_due",
    "damage",
    "followups",
    "followup_work",
    "followups_sent",
    "carried",
    "bundles",
    "bundle_rows",
    "hubs",
    "returns",
    "digests",
    "digest_names",
)


def _all(transaction: lmdb.Transaction) -> list[tuple[bytes, bytes]]:
    return [(bytes(key), bytes(value)) for key, value in transaction.cursor()]


def _sealed_value(key: bytes, value: bytes) -> bytes:
    """A value with the seal that an index needs."""
    return struct.pack("<I", crc32c(key + value)) + value


def entries_of_trees(journal: Path) -> dict[str, int]:
    """The trees of a store, and the number of entries of each."""
    with lmdb.open(str(journal / "lmdb"), max_dbs=32, readonly=True, lock=False) as env, env.begin() as transaction:
        names = [bytes(name) for name, _ in transaction.cursor()]
        databases = {name.decode(): env.open_db(name, transaction, create=False) for name in names}
        return {name: transaction.stat(database)["entries"] for name, database in databases.items()}


def _short_keys(transaction: lmdb.Transaction) -> None:
    for key in (b"\0", b"\x01", b"i", b"n", b"m\0", b"\xff" * 3, b"\xff" * 300):
        transaction.put(key, _sealed_value(key, struct.pack(">Q", 1)))


def _short_values(transaction: lmdb.Transaction) -> None:
    for number, (key, value) in enumerate(_all(transaction)):
        transaction.put(key, value[: number % (len(value) + 1)])


def _huge_numbers(transaction: lmdb.Transaction) -> None:
    for key, value in _all(transaction):
        transaction.put(key, b"\xff" * len(value))
        transaction.put(b"\xff" * len(key), value)


def _long_values(transaction: lmdb.Transaction) -> None:
    for key, value in _all(transaction):
        transaction.put(key, value + bytes(20_000))


def _no_entries(transaction: lmdb.Transaction) -> None:
    for key, _ in _all(transaction):
        transaction.delete(key)


def _symbolic_tree(journal: Path) -> None:
    """Describe one tree twice: two names lead to the same pages."""

    def edit(data: bytearray) -> None:
        for page in _pages(data, 2):
            slots = (struct.unpack_from("<H", data, page + 12)[0] - 16) // 2
            nodes = [_node(data, page, slot) for slot in range(slots)]
            trees = [node for node in nodes if struct.unpack_from("<IH", data, node) == (48, 2)]
            for first, second in itertools.pairwise(trees):
                begins = [node + 8 + struct.unpack_from("<H", data, node + 6)[0] for node in (first, second)]
                data[begins[1] : begins[1] + 48] = data[begins[0] : begins[0] + 48]

    _edit(journal, edit)


def _compressed_bomb(transaction: lmdb.Transaction) -> None:
    for key, value in _all(transaction):
        # The length of the body before it was compressed.
        transaction.put(key, value[:4] + b"\xff\xff\xff\xff" + value[8:])


def _hole(path: Path, sizes: tuple[int, ...]) -> int:
    """Lengthen a file by a hole, to the largest of these sizes that its file system has. Returns its size."""
    for size in sizes:
        with contextlib.suppress(OSError):
            os.truncate(path, size)
            return size
    raise AssertionError(f"{path} is on a file system without holes")


def _endless_store(journal: Path) -> None:
    """A store whose pages claim a hole of the longest size, so that no memory has a bit for each page."""
    size = _hole(_data(journal), ((1 << 63) - PAGE, 1 << 60, 1 << 50, 15 << 40, 1 << 40))
    with _data(journal).open("r+b") as file:
        for page in (0, PAGE):
            file.seek(page + 16 + 120)
            file.write(struct.pack("<Q", size // PAGE - 1))


def _endless_segments(journal: Path) -> None:
    """Segments of a terabyte: of zeros behind damaged bytes, and of zeros before a byte."""
    for number, ending in enumerate((b"", b"x")):
        path = journal / "spool" / f"{number:032x}-00000000.seg"
        path.write_bytes(b"damaged")
        size = _hole(path, (1 << 40,))
        with path.open("r+b") as file:
            file.seek(size - 1)
            file.write(ending)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "empty file": _whole(lambda data: b""),
    "zeros": _whole(lambda data: bytes(len(data))),
    "half a file": _whole(lambda data: data[: 20 * PAGE]),
    "a text": _whole(lambda data: b"no store\n" * 3000),
    "page size of zero": _meta(24, "<I", 0),
    "page size of three": _meta(24, "<I", 3),
    "huge page size": _meta(24, "<I", 1 << 31),
    "root beyond the end": _meta(112, "<Q", 1 << 40),
    "root is a meta page": _meta(112, "<Q", 1),
    "root of the free list is a meta page": _meta(64, "<Q", 0),
    "last page beyond all": _meta(120, "<Q", (1 << 64) - 2),
    "last page of zero": _meta(120, "<Q", 0),
    "last transaction": _meta(128, "<Q", (1 << 64) - 1),
    "huge map": _meta(16, "<Q", 1 << 63),
    "duplicates in the tree of trees": _meta(76, "<H", 4),
    "depth beyond all": _meta(78, "<H", 0xFFFF),
    "branch: slots beyond the page": _everywhere(1, _put("<H", 12, 0xFFF0)),
    "branch: child beyond the file": _everywhere(1, _put_node("<I", 0, 0xFFFFFFF0)),
    "branch: child is its parent": _everywhere(1, _own_child),
    "branch: child is a meta page": _everywhere(1, _put_node("<I", 0, 1)),
    "branch: key beyond the page": _everywhere(1, _put_node("<H", 6, 0xFFFF)),
    "leaf: dirty": _everywhere(2, _put("<H", 10, 0x12)),
    "leaf: fixed keys": _everywhere(2, _put("<H", 10, 0x22)),
    "leaf: sub-page": _everywhere(2, _put("<H", 10, 0x42)),
    "leaf: no entry": _everywhere(2, _put("<H", 12, 16)),
    "leaf: slots beyond the page": _everywhere(2, _put("<H", 12, 0xFFFE)),
    "leaf: free space beyond the page": _everywhere(2, _put("<H", 14, 0xFFFE)),
    "leaf: slot beyond the page": _everywhere(2, _put("<H", 16, 0xFFF8)),
    "leaf: slot in the header": _everywhere(2, _put("<H", 16, 0)),
    "leaf: odd slot": _everywhere(2, _put("<H", 16, 4001)),
    "leaf: key beyond the page": _everywhere(2, _put_node("<H", 6, 0xFFFF)),
    "leaf: value beyond the page": _everywhere(2, _put_node("<I", 0, 0x7FFFFFFF)),
    "leaf: value in pages": _everywhere(2, _put_node("<H", 4, 1)),
    "leaf: value is a tree": _everywhere(2, _put_node("<H", 4, 2)),
    "leaf: duplicates": _everywhere(2, _put_node("<H", 4, 4)),
    "leaf: duplicates in a tree": _everywhere(2, _put_node("<H", 4, 6)),
    "long value: too few pages": _everywhere(4, _put("<I", 12, 0)),
    "long value: pages beyond the file": _everywhere(4, _put("<I", 12, 0xFFFFFFFF)),
    "long value: another kind of page": _everywhere(4, _put("<H", 10, 2)),
    "long value: another number": _everywhere(4, _put("<Q", 0, 7)),
    "pages in use are free": _free_list,
    "two names for one tree": _symbolic_tree,
    "records: lengths of gigabytes": _entries("records", _compressed_bomb),
    "endless store": _endless_store,
    # Other systems read the zeros of a hole.
    **({"endless segments": _endless_segments} if sys.platform == "linux" else {}),
}
"""Each changes a journal in place."""

CHANGES: dict[str, Callable[[lmdb.Transaction], None]] = {
    "short keys": _short_keys,
    "short values": _short_values,
    "huge numbers": _huge_numbers,
    "long values": _long_values,
    "no entries": _no_entries,
}
"""Each changes the entries of a tree."""

ENTRY_DAMAGES = {f"{tree}: {name}": _entries(tree, change) for tree in TREES for name, change in CHANGES.items()}
"""The structure of the file stays whole, and the content of one tree is wrong."""


def damaged_at_random(journal: Path, seed: int) -> str:
    """Change a journal by a seed. Returns a description of the change."""
    choose = random.Random(seed)  # noqa: S311 - repeatable
    if seed % 7 == 0:
        shutil.rmtree(journal)
        shutil.copytree(_GOLDEN, journal)
    kind = choose.choice(("bits", "bytes", "fields", "fields", "fields", "pages", "entries", "cut"))
    if kind == "entries":
        tree = choose.choice(TREES)
        _entries(tree, lambda transaction: _random_entries(transaction, choose))(journal)
        return f"entries of {tree}"
    data = bytearray(_data(journal).read_bytes())
    for _ in range(choose.choice((1, 1, 1, 2, 8))):
        if kind == "bits":
            data[choose.randrange(len(data))] ^= 1 << choose.randrange(8)
        elif kind == "bytes":
            data[choose.randrange(len(data))] = choose.randrange(256)
        elif kind == "fields":
            _random_field(data, choose)
        elif kind == "pages":
            source, target = (choose.randrange(len(data) // PAGE) * PAGE for _ in range(2))
            page = data[source : source + PAGE]
            if choose.random() < 0.5:
                # As if the page belonged there.
                struct.pack_into("<Q", page, 0, target // PAGE)
            data[target : target + PAGE] = page
        else:
            del data[choose.randrange(len(data)) :]
            data = data or bytearray(1)
    _data(journal).write_bytes(data)
    return kind


def _random_field(data: bytearray, choose: random.Random) -> None:
    """Change a field of a page, to a value that is near, or at a limit."""
    page = choose.randrange(len(data) // PAGE) * PAGE
    if page < 2 * PAGE:
        at, width = page + 16 + choose.randrange(0, 136, 2), choose.choice((2, 4, 8))
    elif choose.random() < 0.4:
        at, width = page + choose.choice((0, 8, 10, 12, 14)), choose.choice((1, 2, 4))
    else:
        lower = struct.unpack_from("<H", data, page + 12)[0]
        slots = max((min(lower, PAGE) - 16) // 2, 1)
        slot = page + 16 + 2 * choose.randrange(slots)
        if choose.random() < 0.3:
            at, width = slot, 2
        else:
            node = page + min(struct.unpack_from("<H", data, slot)[0], PAGE - 8)
            at, width = node + choose.choice((0, 2, 4, 6, 8)), choose.choice((1, 2, 4))
    limit = 1 << (8 * width)
    old = int.from_bytes(data[at : at + width], "little")
    near = (old + choose.choice((-8, -2, -1, 1, 2, 8))) % limit
    value = choose.choice(
        (near, near, 0, limit - 1, limit // 2, choose.randrange(limit), choose.randrange(min(limit, 60)))
    )
    data[at : at + width] = value.to_bytes(width, "little")


def _random_entries(transaction: lmdb.Transaction, choose: random.Random) -> None:
    entries = _all(transaction)
    for _ in range(choose.randrange(1, 6)):
        key, value = map(bytearray, choose.choice(entries) if entries else (b"key", b"value"))
        for part in (key, value) if choose.random() < 0.5 else (value,):
            if part and choose.random() < 0.7:
                part[choose.randrange(len(part))] = choose.choice((0, 1, 0x7F, 0xFF, choose.randrange(256)))
            elif choose.random() < 0.5:
                del part[choose.randrange(len(part) + 1) :]
            else:
                part.extend(choose.randbytes(choose.choice((1, 8, 3000))))
        sealed = bytes(value)
        if len(value) >= 12 and choose.random() < 0.3:
            sealed = _sealed_value(bytes(key), bytes(value[4:]))
        elif len(value) >= 4 and choose.random() < 0.3:
            sealed = bytes(value[:-4]) + struct.pack("<I", crc32c(bytes(key) + bytes(value[:-4])))
        if 0 < len(key) <= 511:
            transaction.put(bytes(key), sealed)
