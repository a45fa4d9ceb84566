"""Opens plsync's own files: never through a link, never waiting for a FIFO, and only files of this user or root.

``docs/guarantees/security.md`` has the rules. The native module applies them; a refusal is a PermissionError whose
``strerror`` states the owner or kind of the file, and the remedy.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

__all__ = [
    "SAFE_FLAGS",
    "admit_directory",
    "check_directory",
    "create_new",
    "ensure_directory",
    "is_file",
    "open_any",
    "open_own",
    "read_named",
    "read_own",
    "rename_new",
    "replacing",
    "temporary_beside",
]

SAFE_FLAGS: Final = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
"""Flags of ``os.open`` that follow no link and wait for no FIFO."""

_IS_UNIX: Final = os.name == "posix"
_BINARY: Final = getattr(os, "O_BINARY", 0)


def open_own(path: str | os.PathLike[str], *, write: bool = False, create: bool = False, journal: bool = False) -> int:
    """A file descriptor of a regular file that belongs to this user or root.

    Args:
        path: the file.
        write: open it for reading and writing. The file must have one name.
        create: create it with mode 0600 if it is missing, and open it as with ``write``.
        journal: it is a file of a journal. A shared journal's files may belong to any member of its group.

    Raises:
        OSError: the file is missing or cannot be opened.
        PermissionError: it is a link or no regular file, or other users control it.
    """
    if _IS_UNIX:
        from plsync._common import native  # noqa: PLC0415 - importing plsync must not load the native module

        return native.open_file(os.fspath(path), write=write, create=create, journal=journal)
    return _open_regular(path, (os.O_RDWR if write or create else os.O_RDONLY) | (os.O_CREAT if create else 0))


def open_any(path: str | os.PathLike[str]) -> int:
    """A file descriptor for reading a regular file, of any owner: a file that is committed or sent.

    Raises:
        OSError: the file is missing or cannot be opened.
        PermissionError: it is a link or no regular file.
    """
    if _IS_UNIX:
        from plsync._common import native  # noqa: PLC0415 - importing plsync must not load the native module

        return native.open_file(os.fspath(path), any_owner=True)
    return _open_regular(path, os.O_RDONLY)


def read_own(path: str | os.PathLike[str], limit: int, *, journal: bool = False) -> bytes:
    """Up to ``limit`` bytes of a file of this user; with ``journal``, of a journal's file.

    Raises:
        OSError: as :func:`open_own`.
    """
    with open(open_own(path, journal=journal), "rb") as file:
        return file.read(limit)


def read_named(path: str | os.PathLike[str], limit: int) -> bytes:
    """Up to ``limit`` bytes of a file that the user named. The path may be a link, as in a mounted secret.

    Raises:
        OSError: as :func:`open_own`, for the file that the link names.
    """
    try:
        return _read_named(path, limit)
    except FileNotFoundError:
        # Kubernetes replaces a secret by changing a link, and removes the old file.
        return _read_named(path, limit)


def _read_named(path: str | os.PathLike[str], limit: int) -> bytes:
    named = os.path.realpath(path)
    # The user named the file. The advice for plsync's own files is to move a file of another kind away.
    with contextlib.suppress(PermissionError):
        mode = os.stat(named).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "it is a directory, not a regular file", named)
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is a FIFO, a socket or a device, not a regular file", named)
    return read_own(named, limit)


def create_new(path: str | os.PathLike[str], flags: int = os.O_WRONLY) -> int:
    """A file descriptor of a new file with mode 0600. An existing name is an error, also a link.

    Raises:
        OSError: the name exists, or the file cannot be created.
    """
    return os.open(path, flags | os.O_CREAT | os.O_EXCL | SAFE_FLAGS, 0o600)


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether a name is a regular file, and no link to one."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def temporary_beside(path: Path) -> Path:
    """A name in the same directory that another user cannot predict."""
    return path.with_name(f".{path.name[:100]}.{os.urandom(16).hex()}")


def rename_new(path: Path, name: Path) -> None:
    """Rename a file, unless the new name exists.

    Raises:
        FileExistsError: the name exists.
        OSError: the file cannot be renamed.
    """
    try:
        os.link(path, name)
    except FileExistsError:
        raise
    except OSError:
        # The file system has no links. Between both steps another program may make the name.
        if os.path.lexists(name):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(name)) from None
        os.replace(path, name)
    else:
        path.unlink()


@contextlib.contextmanager
def replacing(path: Path, *, mode: int | None = None, sync: bool = False, journal: bool = False) -> Iterator[BinaryIO]:
    """A new file that replaces ``path`` in one step, at the end of the block. After an error the old one stays.

    Args:
        path: the file to replace, or to create.
        mode: its mode; None for 0600.
        sync: whether the content is on the disk before it takes the place.
        journal: it is a file of a journal. In a shared journal the group gets its rights.

    Raises:
        OSError: the file cannot be written. It names ``path``, not the temporary file.
    """
    temporary = temporary_beside(path)
    try:
        descriptor = open_own(temporary, create=True, journal=True) if journal else create_new(temporary)
        with open(descriptor, "wb") as file:
            if mode is not None:
                # Some file systems have no modes.
                with contextlib.suppress(OSError):
                    os.chmod(temporary, mode)
            yield file
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.filename in (None, os.fspath(temporary), temporary):
            error.filename, error.filename2 = os.fspath(path), None
        raise


def admit_directory(path: str | os.PathLike[str], *, look: bool = False, journal: bool = False) -> None:
    """Check the owner and the mode of a directory that the user named.

    Args:
        path: the directory.
        look: whether root may use the directory of another user.
        journal: it is a journal, which may be shared with a group.

    Raises:
        FileNotFoundError: there is no such directory.
        PermissionError: another user owns it, or other users can write to it.
    """
    if _IS_UNIX:
        from plsync._common import native  # noqa: PLC0415 - importing plsync must not load the native module

        native.admit_directory(os.fspath(path), look=look, journal=journal)


def ensure_directory(path: Path) -> None:
    """Make a directory inside a journal with the rights of the journal, or check the one that is there.

    Raises:
        OSError: it cannot be made.
        PermissionError: it is a link or no directory, or other users control it.
    """
    if _IS_UNIX:
        from plsync._common import native  # noqa: PLC0415 - importing plsync must not load the native module

        native.ensure_directory(os.fspath(path))
    else:
        path.mkdir(exist_ok=True)


def check_directory(path: str | os.PathLike[str]) -> None:
    """Check a directory inside a directory that was admitted: it is no link, and belongs to this user or root.

    Raises:
        FileNotFoundError: there is no such directory.
        PermissionError: it is a link or no directory, or other users control it.
    """
    if _IS_UNIX:
        from plsync._common import native  # noqa: PLC0415 - importing plsync must not load the native module

        native.check_directory(os.fspath(path))


def _open_regular(path: str | os.PathLike[str], flags: int) -> int:
    # For Windows, which has neither FIFOs in directories nor owners in modes.
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise PermissionError(errno.EPERM, "it is not a regular file; move it away", os.fspath(path))
    except FileNotFoundError:
        if not flags & os.O_CREAT:
            raise
    return os.open(path, flags | _BINARY, 0o600)
