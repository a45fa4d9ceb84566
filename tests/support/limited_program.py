"""A program that works with a journal while its disk fills up, or while its rights come and go.

Arguments: the journal, a seed, the number of steps, and ``disk`` or ``rights``. It prints each id that the journal has
promised to keep. It ends with 1 after an error of another class, or with another cause.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

from plsync.errors import JournalCorrupt, JournalError, JournalFormatError, JournalNotFound, PlsyncError
from plsync.journal import Journal
from plsync.journal.disk import is_full_disk


class Program:
    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self.random = random.Random(seed)  # noqa: S311
        self.ballast = path.parent / "ballast"
        self.journal: Journal | None = None
        self.lacks_rights = False

    def opened(self) -> Journal:
        if self.journal is None:
            self.journal = Journal.open(self.path, create=True)
        return self.journal

    # --- steps ---

    def append(self) -> None:
        for _ in range(self.random.randrange(1, 8)):
            value = self.random.randbytes(self.random.choice([10, 3_000, 40_000, 300_000]))
            print(self.opened().append(value), flush=True)

    def ingest(self) -> None:
        self.opened().ingest(wait=True)

    def look(self) -> None:
        journal = self.opened()
        journal.stats()
        sum(record.size for record in journal.records(limit=20))

    def check(self) -> None:
        problems = self.opened().check().problems
        # Without rights the check reports the files that it cannot read.
        assert self.lacks_rights or problems == [], problems

    def compact(self) -> None:
        self.opened().compact()

    def deliver(self) -> None:
        journal = self.opened()
        held = [record.seq for record in journal.records(limit=30)]
        journal.outbox.park(held, "dead", "a test")
        journal.outbox.ack([(seq, 1_000 + seq) for seq in held])

    def forget(self) -> None:
        records = [record for record in self.opened().records(limit=30) if not record.forgotten]
        chosen = self.random.sample(records, len(records) // 3)
        if chosen:
            self.opened().forget(*[record.id for record in chosen])

    def read_in_threads(self) -> None:
        """Use more reader slots than one page of LMDB's table has."""
        journal, errors = self.opened(), []

        def read() -> None:
            try:
                list(journal.records(limit=3))
            except PlsyncError as error:
                errors.append(error)

        threads = [threading.Thread(target=read) for _ in range(70)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for error in errors:
            raise error

    def reopen(self) -> None:
        self.journal = None

    # --- limits ---

    def fill_disk(self) -> None:
        left = self.random.choice([0, 0, 5_000, 70_000, 500_000])
        with self.ballast.open("ab", buffering=0) as file:
            for size in (1 << 16, 1 << 12):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    continue
            file.truncate(max(0, file.tell() - left))

    def free_disk(self) -> None:
        self.ballast.unlink(missing_ok=True)

    def within_lost_rights(self, step: Callable[[], None]) -> None:
        files = [self.path, *self.path.rglob("*")]
        chosen = self.random.sample(files, min(len(files), self.random.randrange(1, 3)))
        with contextlib.ExitStack() as opened:
            held = []
            for file in chosen:
                # A thread of the journal renames a segment once it is complete. A descriptor stays with its file.
                with contextlib.suppress(FileNotFoundError):
                    descriptor = os.open(file, os.O_PATH | os.O_NOFOLLOW)
                    opened.callback(os.close, descriptor)
                    held.append((f"/proc/self/fd/{descriptor}", os.fstat(descriptor).st_mode))
            try:
                for name, _ in held:
                    os.chmod(name, self.random.choice([0, 0o400, 0o500]))
                self.lacks_rights = True
                step()
            finally:
                self.lacks_rights = False
                for name, mode in held:
                    os.chmod(name, mode)


def main(path: Path, seed: int, number: int, kind: str) -> None:
    warnings.simplefilter("ignore")
    program = Program(path, seed)
    program.append()
    steps = [
        program.append, program.append, program.ingest, program.look, program.check, program.compact,
        program.deliver, program.forget, program.read_in_threads, program.reopen,
    ]  # fmt: skip
    if kind == "disk":
        steps += [program.fill_disk, program.fill_disk, program.free_disk]
    for _ in range(number):
        step = program.random.choice(steps)
        try:
            if kind == "rights" and program.random.random() < 0.5:
                program.within_lost_rights(step)
            else:
                step()
        except PlsyncError as error:
            if kind == "disk" and not (isinstance(error, JournalError) and is_full_disk(error)):
                raise
            # A missing right is no missing journal, and no damage.
            if kind == "rights" and isinstance(error, JournalNotFound | JournalFormatError | JournalCorrupt):
                raise
    program.free_disk()


if __name__ == "__main__":
    if len(sys.argv) > 5:
        os.setuid(int(sys.argv[5]))
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
