"""The errors of a backup and a salvage about the directory that they write to."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from typing import Final

from plsync.errors import JournalError

__all__ = ["writing_to"]

_REFUSED: Final = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextlib.contextmanager
def writing_to(target: str | os.PathLike[str]) -> Iterator[None]:
    """Let a refusal of the new directory advise another directory. The advice for a journal is another user.

    Args:
        target: the directory that the block makes.

    Raises:
        JournalError: the block raised it.
    """
    try:
        yield
    except JournalError as error:
        path = os.fspath(target)
        named = re.search(rf"\b(?:create|read|open|write to) {re.escape(path)}(?![\w-])", str(error))
        if error.errno is None or error.errno not in _REFUSED or named is None:
            raise
        reason = os.strerror(error.errno)
        refused = JournalError(
            f"cannot write {path}: {reason}; nothing was changed: choose a directory that this user can write to"
        )
        refused.errno = error.errno
        raise refused from error
