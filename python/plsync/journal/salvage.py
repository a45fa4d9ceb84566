"""Getting a journal back that a disk has damaged.

The damaged journal is read in a process of its own. The reader trusts nothing it reads, but a disk that fails, or a
file that claims to hold all there is, can still end a process; then it is that one, and the caller gets an error.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from plsync import errors
from plsync.journal.reports import SalvageReport

__all__ = ["salvage"]

# What the reading process may take, beside a share for each byte of the damaged journal; what it finds it holds in
# memory.
SECONDS = 600.0
SECONDS_PER_MB = 1.0
MEMORY = 1 << 30
MEMORY_PER_BYTE = 4

# The modules come from where the caller has them, and from nowhere else.
_CHILD = "import sys; sys.path[:] = sys.argv[4:]; from plsync.journal.salvage import child; child(*sys.argv[1:4])"


def salvage(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> SalvageReport:
    """Write what can be read of the journal at ``source`` into a new one at ``target``.

    Records keep their ids, states, request ids and callbacks. One whose state is lost comes out in doubt, and is looked
    up before it is sent again. ``source`` is only read; programs that still write to it should be stopped first.

    Raises:
        JournalNotFound: there is no directory at ``source``.
        JournalFormatError: ``target`` exists.
        JournalError: a directory cannot be read or written, or the process that read ``source`` died, or took more than
            ten minutes and a second for each MB. What it had saved by then is in ``target``.
    """
    source, target = Path(source), Path(target)
    size = _size(source)
    seconds = SECONDS + SECONDS_PER_MB * size / 1e6
    arguments = [str(source), str(target), str(MEMORY + MEMORY_PER_BYTE * size), *map(str, sys.path)]
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, and our own code
            [sys.executable, "-c", _CHILD, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _failed(source, target, f"took more than {seconds / 60:.0f} minutes") from None
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        raise _failed(source, target, _end_of(done)) from None
    if "error" in answer:
        raise getattr(errors, answer["error"])(answer["message"])
    return SalvageReport(**answer)


def child(source: str, target: str, memory: str) -> None:
    """What the process of its own does: the report, or the error, as JSON on standard output."""
    from plsync._common import native  # noqa: PLC0415 - importing plsync must not load the native module

    _limit(int(memory))
    answer: dict[str, Any]
    try:
        answer = native.salvage(source, target)
    except errors.PlsyncError as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    sys.stdout.write(json.dumps(answer))


def _limit(memory: int) -> None:
    """Memory of its own, which maps of files are not; and no copy of it is left on the disk when it crashes."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - there is none on Windows

        _, allowed = resource.getrlimit(resource.RLIMIT_DATA)
        if allowed == resource.RLIM_INFINITY or memory < allowed:
            resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _size(journal: Path) -> int:
    """Bytes of all its files, as far as they can be seen."""
    sizes = [0]
    for directory, _, names in os.walk(journal):
        for name in names:
            try:
                sizes.append(os.lstat(os.path.join(directory, name)).st_size)
            except OSError:
                continue
    return sum(sizes)


def _end_of(done: subprocess.CompletedProcess[bytes]) -> str:
    if done.returncode < 0:
        try:
            name = signal.Signals(-done.returncode).name
        except ValueError:
            name = f"signal {-done.returncode}"
        ended = f"was ended by {name}"
    else:
        ended = f"ended with code {done.returncode}"
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return f"{ended} ({said[-1]})" if said else ended


def _failed(source: Path, target: Path, how: str) -> errors.JournalError:
    message = f"the process that read {source} {how}: {source} was not changed, and {_kept(target)}"
    return errors.JournalError(message)


def _kept(target: Path) -> str:
    """What stands in a new journal that is not complete. It is sound: only whole transactions are in it."""
    from plsync._common import native  # noqa: PLC0415 - importing plsync must not load the native module

    if not target.exists():
        return "nothing was saved"
    try:
        records = native.Store(str(target), create=False).stats()["records"]
    except errors.PlsyncError as error:
        return f"what was saved in {target} cannot be read: {error}"
    if not records:
        return f"nothing was saved; remove {target} before the next try"
    return f"{records:,} records saved before are in {target}; keep them, or remove it before the next try"
