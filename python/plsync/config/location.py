"""The place of the configuration file, and whether it has changed."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Final

from plsync._common.paths import JOURNAL_VARIABLE

__all__ = ["CONFIG_VARIABLE", "config_path", "is_absent", "version_of"]

CONFIG_VARIABLE: Final = "PLSYNC_CONFIG"

# Seconds after which the time of a file shows every later change.
_SETTLED: Final = 2.0


def config_path() -> tuple[Path | None, bool]:
    """The file, or None for no file; and whether ``PLSYNC_CONFIG`` names it."""
    if named := os.environ.get(CONFIG_VARIABLE):
        if named == os.devnull:
            return None, True
        return Path(os.path.abspath(os.path.expanduser(named))), True
    import platformdirs  # noqa: PLC0415 - a program that uses no workspace must not pay for this import

    try:
        path = platformdirs.user_config_path("plsync", appauthor=False) / "config.toml"
    except (RuntimeError, KeyError, OSError):  # of an account without a home
        return None, False
    return (path if path.is_absolute() else None), False


def is_absent(path: Path) -> bool:
    """Whether there is no file at the default path.

    A service may have the closed home directory of another user, or ``/dev/null``. Its configuration is not there.
    """
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except PermissionError:
        closed = next(above for above in path.parents if _owner(above) is not None)
        return sys.platform != "win32" and _owner(closed) != os.geteuid()
    except OSError:
        return False
    return False


def version_of(path: Path) -> tuple[object, ...] | None:
    """A value that changes with the file and with the paths in it; None for a file that has just changed."""
    try:
        found = os.stat(path)
        above = os.stat(path.parent)
        journal = os.path.abspath(os.environ.get(JOURNAL_VARIABLE, ""))
    except OSError:
        return None
    # A second change within a tick of the file system's clock shows in no time.
    if abs(time.time() - found.st_mtime) < _SETTLED:
        return None
    changed = (found.st_mtime_ns, found.st_ctime_ns, above.st_ctime_ns)
    return (path, found.st_dev, found.st_ino, found.st_size, *changed, journal, os.environ.get("HOME"))


def _owner(path: Path) -> int | None:
    try:
        return os.stat(path).st_uid
    except OSError:
        return None
