"""Salvages a journal that a disk has damaged.

A child process reads the damaged journal, and checks each byte before use. A failing disk or a corrupt size can still
end a process. Then the child ends, and the caller gets an error.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from plsync import errors
from plsync.journal.reports import SalvageReport
from plsync.journal.targets import writing_to

__all__ = ["salvage"]

# Limits of the child process. They grow with the size of the damaged journal, because it keeps its finds in memory.
SECONDS = 600.0
SECONDS_PER_MB = 1.0
_MOST_SECONDS = 7 * 86_400.0
MEMORY = 1 << 30
MEMORY_PER_BYTE = 4

# The child imports modules only from the caller's path.
_CHILD = "import sys; sys.path[:] = sys.argv[4:]; from plsync.journal.salvage import child; child(*sys.argv[1:4])"


def salvage(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> SalvageReport:
    """Write every readable record of a damaged journal into a new journal.

    Records keep their ids, states, request ids and callbacks. A record whose state is lost becomes in doubt, and is
    looked up before it is sent again.

    Args:
        source: the directory of the damaged journal, which is only read. Stop the programs that write to it first.
        target: the directory of the new journal, which must not exist.

    Raises:
        JournalNotFound: there is no directory at ``source``.
        JournalFormatError: ``target`` exists.
        JournalError: a directory cannot be read or written. Or the process that read ``source`` died, or exceeded ten
            minutes plus a second for each MB; ``target`` then has the records saved before.

    >>> from plsync import Journal, salvage
    >>> Journal.open("./damaged", create=True).append({"kept": True}) != ""
    True
    >>> salvage("./damaged", "./repaired").records
    1
    """
    source, target = Path(source), Path(target)
    _require_directory(source)
    is_new = not os.path.lexists(target)
    size = _size(source)
    # A sparse file may have any size, and the system waits no longer than some weeks.
    seconds = min(SECONDS + SECONDS_PER_MB * size / 1e6, _MOST_SECONDS)
    arguments = [str(source), str(target), str(MEMORY + MEMORY_PER_BYTE * size), *map(str, sys.path)]
    # The child reads the pipe, and ends with this process: the system closes the other end then.
    parent_is_gone, alive = os.pipe()
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, and our own code
            [sys.executable, "-c", _CHILD, *arguments],
            stdin=parent_is_gone,
            capture_output=True,
            # Without memory for a backtrace, a panic would never end.
            env={**os.environ, "RUST_BACKTRACE": "0"},
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _failed(source, target, f"took more than {seconds / 60:.0f} minutes") from None
    finally:
        os.close(parent_is_gone)
        os.close(alive)
    try:
        result = json.loads(done.stdout)
    except ValueError:
        failed = _failed(source, target, _describe_end(done))
        if _lacked_memory(done):
            failed.errno = errno.ENOMEM
        raise failed from None
    if "error" in result:
        kept = f"; {_kept(target)}" if is_new and target.exists() else ""
        error = getattr(errors, result["error"])(result["message"] + kept)
        error.errno = result["errno"]
        with writing_to(target):
            raise error
    return SalvageReport(**result)


def _require_directory(source: Path) -> None:
    """Raise JournalNotFound if there is none. Another error stays for the child to report."""
    with contextlib.suppress(PermissionError):
        if not stat.S_ISDIR(source.stat().st_mode if source.exists() else 0):
            message = f"there is no directory {source}; nothing was written: check the path of the damaged journal"
            raise errors.JournalNotFound(message)


def child(source: str, target: str, memory: str) -> None:
    """Run in the child process: write the report, or the error, as JSON to standard output."""
    from plsync._common import native  # noqa: PLC0415 - importing plsync must not load the native module

    threading.Thread(target=_end_with_parent, daemon=True).start()
    _limit(int(memory))
    result: dict[str, Any]
    try:
        result = native.salvage(source, target)
    except errors.PlsyncError as error:
        result = {"error": type(error).__name__, "message": str(error), "errno": getattr(error, "errno", None)}
    sys.stdout.write(json.dumps(result))


def _end_with_parent() -> None:
    """End this process once the standard input ends: the parent died, and nothing reads the report."""
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    os._exit(1)


def _limit(memory: int) -> None:
    """Limit anonymous memory (file mappings do not count), and disable core dumps."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - Windows lacks this module

        _, allowed = resource.getrlimit(resource.RLIMIT_DATA)
        if allowed == resource.RLIM_INFINITY or memory < allowed:
            resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _size(journal: Path) -> int:
    """Bytes of all files of a journal that can be listed."""
    sizes = [0]
    for directory, _, names in os.walk(journal):
        for name in names:
            try:
                sizes.append(os.lstat(os.path.join(directory, name)).st_size)
            except OSError:
                continue
    return sum(sizes)


def _lacked_memory(done: subprocess.CompletedProcess[bytes]) -> bool:
    """Whether an allocation failed: Rust and Python end a process with these words."""
    return b"memory allocation of" in done.stderr or b"MemoryError" in done.stderr


def _describe_end(done: subprocess.CompletedProcess[bytes]) -> str:
    if _lacked_memory(done):
        return "had too little memory"
    if done.returncode < 0:
        try:
            name = signal.Signals(-done.returncode).name
        except ValueError:
            name = f"signal {-done.returncode}"
        ended = f"was ended by {name}"
    else:
        ended = f"ended with code {done.returncode}"
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return f"{ended} ({lines[-1]})" if lines else ended


def _failed(source: Path, target: Path, how: str) -> errors.JournalError:
    message = f"the process that read {source} {how}: {source} was not changed, and {_kept(target)}"
    return errors.JournalError(message)


def _kept(target: Path) -> str:
    """The content of an incomplete new journal, which is sound: it has only whole transactions."""
    from plsync._common import native  # noqa: PLC0415 - importing plsync must not load the native module

    if not target.exists():
        return "nothing was saved"
    try:
        records = native.Store(str(target), create=False).stats()["records"]
    except errors.JournalNotFound:
        records = 0
    except errors.PlsyncError as error:
        return f"the records saved in {target} cannot be read: {error}"
    if not records:
        return f"nothing was saved; remove {target} before the next try"
    return f"{records:,} records saved before are in {target}; keep them, or remove {target} before the next try"
