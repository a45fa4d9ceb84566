"""The token of a journal's page: 256 random bits in a file of this user, so that open tabs survive a restart."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import stat
from pathlib import Path
from typing import Final

from plsync._common.files import admit_directory, check_directory, open_own, replacing
from plsync._common.paths import user_state
from plsync.errors import ConfigError

__all__ = ["state_directory", "token_of"]

_BYTES: Final = 32
_TOKEN: Final = re.compile(r"[\w-]{43}", re.ASCII)
_LONGEST: Final = 100


def state_directory() -> Path:
    """The directory of tokens, which no other user can enter. It is made if it is missing.

    Raises:
        ConfigError: it cannot be made, or another user controls it.
    """
    directory = user_state() / "ui"
    try:
        directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        admit_directory(directory.parent)
        directory.mkdir(mode=0o700, exist_ok=True)
        check_directory(directory)
        # An earlier umask or a copy may have opened it to others.
        os.chmod(directory, 0o700)
    except OSError as error:
        raise ConfigError(
            f"{error.filename or directory}: {error.strerror}; the page was not started: its token needs a directory "
            "that belongs to this user"
        ) from error
    return directory


def token_of(journal: Path, *, renew: bool = False) -> str:
    """The token of a journal: the one of its last page, else a new one.

    Args:
        journal: the directory of the journal.
        renew: make a new one in any case. Open tabs lose their access when the page is started again.

    Raises:
        ConfigError: the token cannot be stored.
    """
    name = hashlib.sha256(os.fsencode(os.path.realpath(journal))).hexdigest()[:32]
    path = state_directory() / f"{name}.token"
    if not renew and (kept := _kept(path)) is not None:
        return kept
    token = secrets.token_urlsafe(_BYTES)
    try:
        with replacing(path, mode=0o600) as file:
            file.write(token.encode())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; the page was not started: its token cannot be stored") from error
    return token


def _kept(path: Path) -> str | None:
    """The token in a file; None if it is missing, no token, or readable for others."""
    with contextlib.suppress(OSError), open(open_own(path), "rb") as file:
        if os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            return None
        text = file.read(_LONGEST).decode("ascii", "replace")
        return text if _TOKEN.fullmatch(text) else None
    return None
