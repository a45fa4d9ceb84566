"""The files of bundles on a medium: written whole or not at all, read back, and found again."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from plsync._common.files import create_new, open_any
from plsync.errors import BundleError

__all__ = ["MOST_SIGNATURE", "WrittenFile", "bundles_in", "read_signature", "write"]

MOST_SIGNATURE: Final = 8 << 10
"""Bytes of a signature file, at most."""

_SUFFIXES: Final = (".tar", ".tar.age")
_CHUNK: Final = 1 << 20


@dataclass(frozen=True)
class WrittenFile:
    """A bundle on a medium, after it was read back."""

    path: Path
    bytes: int
    bundle_id: str


def write(directory: Path, name: str, finish: Callable[[str], dict[str, Any]]) -> WrittenFile:
    """Write a bundle and its signature, and read the bundle back from the medium.

    Args:
        directory: on the medium.
        name: the file's name.
        finish: writes the file to a path, and returns its id, size, SHA-256 and signature.

    Raises:
        BundleError: the medium is full, read-only or gone, or returned other bytes. No file of this name remains then.
    """
    path = directory / name
    part, signature = directory / f".{name}.part", directory / f"{name}.minisig"
    try:
        if os.path.lexists(path) or os.path.lexists(signature):
            raise BundleError(f"{path} exists; nothing was written there; choose another directory")
        with _removed_after_failure(part, signature, path):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part)
            written = finish(os.fspath(part))
            # The signature comes first: a bundle without one would look damaged.
            with open(create_new(signature), "wb") as file:
                file.write(written["signature"].encode())
                file.flush()
                os.fsync(file.fileno())
            os.rename(part, path)
            _sync_directory(directory)
            if _sha256(path) != written["sha256"]:
                raise BundleError(
                    f"{path} was read back with other bytes; its records will be exported again; the medium may be "
                    f"damaged: use another one"
                )
    except OSError as error:
        reason = error.strerror or os.strerror(error.errno or errno.EIO)
        raise BundleError(
            f"cannot write {path}: {reason}; no record is lost: export again to a medium with room"
        ) from None
    return WrittenFile(path, written["size"], written["id"])


def bundles_in(paths: Iterable[Path]) -> Iterator[Path]:
    """The bundles in files and directories that the user named, sorted by name within a directory.

    Raises:
        BundleError: a path does not exist, or a named file is no bundle by its name.
    """
    for path in paths:
        if path.is_dir():
            yield from sorted(
                inside
                for inside in path.iterdir()
                if inside.name.startswith("plsync-") and inside.name.endswith(_SUFFIXES)
            )
        elif not path.exists():
            raise BundleError(f"{path} does not exist; nothing was changed")
        elif path.name.endswith(_SUFFIXES):
            yield path
        else:
            raise BundleError(f"{path} is not named like a bundle (.tar or .tar.age); nothing was changed")


def read_signature(path: Path) -> str:
    """The signature file beside a bundle.

    Raises:
        BundleError: there is none, or it is too long.
    """
    beside = path.with_name(f"{path.name}.minisig")
    try:
        with open(open_any(beside), "rb") as file:
            text = file.read(MOST_SIGNATURE + 1)
    except FileNotFoundError:
        raise BundleError(f"{path} has no signature beside it; nothing was changed; copy both files") from None
    except OSError as error:
        raise BundleError(f"cannot read {beside}: {error.strerror}; nothing was changed; copy it again") from None
    if len(text) > MOST_SIGNATURE:
        raise BundleError(f"{beside} is longer than 8 KiB, so it is no signature; nothing was changed")
    return text.decode("ascii", "replace")


def _sha256(path: Path) -> str:
    """The SHA-256 of the bytes that the medium returns, not of those in memory."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        if sys.platform == "linux":
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def _removed_after_failure(*paths: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for path in paths:
            with contextlib.suppress(OSError):
                if stat.S_ISREG(os.lstat(path).st_mode):
                    os.unlink(path)
        raise


def _sync_directory(path: Path) -> None:
    # Some file systems of media cannot sync a directory.
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
