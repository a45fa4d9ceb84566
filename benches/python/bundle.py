"""The cost of carrying records over an air gap, beside tar, zstd, age and minisign on the same journal.

Usage: python benches/python/bundle.py [--records N] [--origins N] [--per-origin N] [--alone N] [--journal DIR]

The records are chat calls of about 4 KB in generated prose. Each step runs in a separate process. The process reports
its time, its processor time with its start, and its peak of memory. With ``--journal`` the bench exports that journal.
No records, or no origins, leave out that half.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from common import machine, stand_in
from conversations import prose, record
from plsync._common.native import Store
from plsync.bundle.keys import Keys
from plsync.journal.journal import Journal
from plsync.testing.server import DEFAULT_API_KEY

COMMAND = """
import sys, time
from plsync.cli import app
begin, code = time.perf_counter(), 0
try:
    code = app(sys.argv[1:], prog_name="plsync", standalone_mode=False) or 0
finally:
    [peak] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
    print("USED", time.perf_counter() - begin, time.process_time(), int(peak) / 1024, file=sys.stderr)
raise SystemExit(0 if code == 3 else code)
"""
INGEST = """
import sys, time
from plsync._common.native import Store
store = Store(sys.argv[1])
begin = time.perf_counter()
store.ingest(wait=True)
[peak] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print("USED", time.perf_counter() - begin, time.process_time(), int(peak) / 1024, file=sys.stderr)
"""


def run(code: str, *arguments: object, **environment: str) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and the peak of memory in MB of a program that prints them."""
    return watched(code, *arguments, **environment)[:3]


def watched(code: str, *arguments: object, **environment: str) -> tuple[float, float, float, int]:
    """Like :func:`run`, with the most files that were open at once."""
    with tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        files = 0
        while child.poll() is None:
            with contextlib.suppress(OSError):
                files = max(files, len(os.listdir(f"/proc/{child.pid}/fd")))
            time.sleep(0.05)
        errors.seek(0)
        printed = errors.read()
    if child.returncode:
        raise SystemExit(printed)
    wall, processor, memory = printed.rpartition("USED")[2].split()
    return float(wall), float(processor), float(memory), files


def tool(*command: object, into: Path) -> float:
    """Seconds of a command that writes to a file."""
    begin = time.perf_counter()
    with into.open("wb") as file:
        subprocess.run(list(map(str, command)), stdout=file, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


def in_child(work: Any, *arguments: object) -> None:
    """Do work in a process that ends, so that its writer ends too."""
    if (child := os.fork()) == 0:
        work(*arguments)
        os._exit(0)
    os.waitpid(child, 0)


def fill(path: Path, count: int, seed: int, *, ingested: bool = True, sentences: list[str] | None = None) -> None:
    """A journal with calls."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    sentences = sentences or prose(chance, 100_000 if count > 2000 else 5000)
    for first in range(0, count, 20_000):
        record(path, min(20_000, count - first), sentences, chance)
        if ingested:
            Store(str(path)).ingest(wait=True)


def show(name: str, seconds: float, count: int, processor: float | None = None, note: str = "") -> None:
    """A line of the table."""
    used = "" if processor is None else f"{processor / count * 1e6:7.1f} us of processor"
    print(f"{name:44} {seconds:8.2f} s  {count / seconds:10,.0f} a second  {used:24} {note}")


ACKS = """
import sys, time
from plsync._common.native import Store
store, begin = Store(sys.argv[1]), time.perf_counter()
last = store.last_seq()
for first in range(1, last + 1, 1000):
    store.ack([(seq, 48_000_000 + seq) for seq in range(first, min(first + 1000, last + 1))])
print("USED", time.perf_counter() - begin, time.process_time(), 0, file=sys.stderr)
"""


class Gap:
    """An origin and a hub with a stick between them, in separate directories."""

    def __init__(self, root: Path, journal: Path) -> None:
        self.root = root
        self.journal = journal
        self.stick = root / "stick"
        self.journals = root / "journals"
        lab, hub = Keys(root / "lab"), Keys(root / "hub")
        lab_card, hub_card = lab.create("lab"), hub.create("hub")
        lab.trust(hub_card, "hub")
        hub.trust(lab_card, "origin")

    def at(self, side: str, *command: object) -> tuple[float, float, float]:
        """Seconds, processor seconds and MB of a command at one side."""
        place = ["--journal", self.journal] if side == "lab" else ["--hub", self.journals]
        return run(COMMAND, "bundle", *command, *place, PLSYNC_KEYS=str(self.root / side))

    def empty_stick(self) -> None:
        """A stick without files."""
        shutil.rmtree(self.stick, ignore_errors=True)
        self.stick.mkdir()

    def on_stick(self) -> int:
        """The bytes of the bundles on the stick."""
        return sum(path.stat().st_size for path in self.stick.iterdir())


def gap(root: Path, journal: Path) -> None:
    """Export, import and ingest the same records, carry their acks back, and pack them with other tools."""
    sides = Gap(root, journal)
    sides.empty_stick()
    with Journal.open(journal) as opened:
        count = opened.stats().records
        raw = Store(str(journal)).stats()["raw_bytes"]
    print(f"{count:,} calls of {raw // count} bytes, {machine()}")
    wall, processor, memory = sides.at("lab", "export", sides.stick)
    note = f"{sides.on_stick() / raw:.1%} of JSON, {memory:.0f} MB"
    show("export, signed and encrypted, read back", wall, count, processor, note)
    tools(root, journal, sides.stick, count, raw)
    wall, processor, memory = sides.at("hub", "import", sides.stick)
    show("import at the hub", wall, count, processor, f"{memory:.0f} MB")
    imported = processor / count
    again, least = root / "again", min(count, 100_000)
    in_child(lambda: fill(again, least, 7, ingested=False))
    wall, processor, memory = run(INGEST, again)
    show("an ingest of as many calls, of 100,000 at most", wall, least, processor, f"{memory:.0f} MB")
    print(f"processor time of the import to the ingest: {imported / (processor / least):.2f}")
    # The hub confirms the bundle. Then it delivers all records.
    sides.empty_stick()
    sides.at("hub", "export", sides.stick)
    sides.at("lab", "import", sides.stick)
    without_news(sides, "export without news, all records received")
    run(ACKS, sides.journals / "lab")
    sides.empty_stick()
    wall, processor, memory = sides.at("hub", "export", sides.stick)
    show(
        "the log back, one ack per record", wall, count, processor, f"{sides.on_stick() / 1e6:.1f} MB, {memory:.0f} MB"
    )
    wall, processor, memory = sides.at("lab", "import", sides.stick)
    show("import of the log", wall, count, processor, f"{memory:.0f} MB")
    without_news(sides, "export without news, all records acked")


def without_news(sides: Gap, name: str) -> None:
    """Export again although the hub has everything."""
    sides.empty_stick()
    wall, processor, memory = sides.at("lab", "export", sides.stick)
    print(f"{name:44} {wall:8.2f} s  {processor:.2f} s of processor, {sides.on_stick():,} bytes, {memory:.0f} MB")


def tools(root: Path, journal: Path, stick: Path, count: int, raw: int) -> None:
    """Other tools on the same bytes."""
    packed = root / "journal.tar.zst"
    wall = tool("sh", "-c", f"tar -cf - -C {journal} . | zstd -3 -T2 -c", into=packed)
    show("tar | zstd -3 of the journal's directory", wall, count, None, f"{packed.stat().st_size / raw:.1%} of JSON")
    [bundle] = [path for path in stick.iterdir() if path.name.endswith("1of1.tar.age")] or [packed]
    if shutil.which("age"):
        recipient = next(
            line.split()[-1] for line in (root / "hub" / "self.card").read_text().splitlines() if line.startswith("age")
        )
        show("age of the bundle's bytes", tool("age", "-r", recipient, bundle, into=root / "age"), count)
    if shutil.which("minisign"):
        tool("minisign", "-G", "-W", "-f", "-p", root / "p", "-s", root / "s", into=root / "out")
        wall = tool("minisign", "-S", "-s", root / "s", "-m", bundle, "-x", root / "x", into=root / "out")
        show("minisign of the bundle's bytes", wall, count)


def ingest(path: Path) -> None:
    """Move the events of a journal into its store."""
    Store(str(path)).ingest(wait=True)


def origin(hub: Path, name: str, count: int, seed: int, sentences: list[str]) -> None:
    """A journal of an origin at a hub, as an import leaves it."""
    fill(hub / name, count, seed, sentences=sentences)
    journal_id = Store(str(hub / name)).journal_id()
    path = hub / f"{name}.origin.json"
    path.write_text(json.dumps({"directory": name, "name": name, "key_id": "0" * 16, "journal_id": journal_id}))
    path.chmod(0o600)


def many(root: Path, options: argparse.Namespace) -> None:
    """A hub of many origins, and a hub with one journal."""
    Keys(root / "keys").create("hub")
    print(f"a hub of {options.origins} origins with {options.per_origin} calls each")
    rates = []
    sentences = prose(random.Random(0), 100_000)  # noqa: S311 - no secret
    many = options.origins * options.per_origin
    for name, origins, count in (
        ("one journal", 1, many if options.alone is None else options.alone),
        ("all origins", options.origins, many),
    ):
        hub = root / name.replace(" ", "-")
        hub.mkdir(mode=0o700)
        for number in range(origins):
            in_child(origin, hub, f"origin-{number:04d}", count // origins, number, sentences)
            # Its writer has ended, so this removes the segments. An import leaves none.
            in_child(ingest, hub / f"origin-{number:04d}")
        with stand_in("--keep", "ids") as url:
            environment = {"PROMPTLAYER_BASE_URL": url, "PROMPTLAYER_API_KEY": DEFAULT_API_KEY}
            wall, processor, memory, files = watched(
                COMMAND, "run", "--hub", hub, "--once", "--json", PLSYNC_KEYS=str(root / "keys"), **environment
            )
        turns = sorted(path.stat().st_mtime for path in hub.glob("*/sync.lock"))
        longest = max((after - before for before, after in pairwise(turns)), default=wall) / (wall / origins)
        note = f"{memory:.0f} MB, {files} files" + (
            "" if origins == 1 else f", the longest turn took {longest:.1f} fair shares"
        )
        show(f"run --hub --once, {name}", wall, count, processor, note)
        rates.append(count / processor)
    print(f"rate of all origins to one journal, by processor time: {rates[1] / rates[0]:.2f}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="The cost of bundles.")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--origins", type=int, default=20)
    parser.add_argument("--per-origin", type=int, default=1000)
    parser.add_argument(
        "--alone", type=int, help="calls of the one journal beside the hub of origins (default: as many)"
    )
    parser.add_argument("--journal", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        if (journal := options.journal) is None and options.records:
            journal = root / "journal"
            in_child(fill, journal, options.records, 1)
        if journal is not None:
            gap(root, journal)
        if options.origins:
            hubs = root / "hubs"
            hubs.mkdir()
            many(hubs, options)


if __name__ == "__main__":
    main()
