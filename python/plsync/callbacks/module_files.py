"""The working directory as the last place for modules, and only for files that no other user controls.

Python puts the directory of a script before all others. There a file of another user, or of a repository that was just
cloned, would replace a module of the standard library. So plsync searches installed modules first.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from importlib.util import cache_from_source
from pathlib import Path
from types import ModuleType
from typing import Any, Final

__all__ = ["TRUST_VARIABLE", "WorkingDirectory", "refusal"]

TRUST_VARIABLE: Final = "PLSYNC_TRUST_DIRECTORY"
"""The environment variable with the directories whose owner and mode are not checked, in the form of ``PATH``."""


class WorkingDirectory:
    """The working directory of this process, as a place where modules are found.

    As a finder in ``sys.meta_path`` it checks each module that any later import finds there.
    """

    def __init__(self) -> None:
        self.path = Path.cwd()

    @property
    def is_forbidden(self) -> bool:
        """Whether ``-P``, ``-I`` or ``PYTHONSAFEPATH`` keeps it from ``sys.path``."""
        # Python 3.10 has neither the flag nor the variable.
        return bool(getattr(sys.flags, "safe_path", False) or sys.flags.isolated or os.environ.get("PYTHONSAFEPATH"))

    def holds(self, spec: ModuleSpec) -> bool:
        """Whether a module lies in this directory."""
        return any(map(self._holds, _places(spec)))

    def _holds(self, place: str) -> bool:
        return self.path in Path(place).parents

    def add(self) -> bool:
        """Let imports find the modules of the directory, behind all others. Returns False if they did already."""
        if self in sys.meta_path:
            return False
        sys.path.append(str(self.path))
        sys.meta_path.insert(0, self)
        return True

    def remove(self) -> None:
        """Undo :meth:`add`."""
        sys.meta_path.remove(self)
        sys.path.remove(str(self.path))

    def check(self, spec: ModuleSpec) -> None:
        """Check each file and directory of a module, from the directory on.

        Raises:
            ImportError: another user owns one, or can write to it.
        """
        for place in filter(self._holds, _places(spec)):
            inside = [above for above in Path(place).parents if above == self.path or self.path in above.parents]
            # A link leads to a directory in which another user may be able to replace the file.
            target = Path(place).resolve()
            for path in (*reversed(inside), target.parent, target):
                if reason := refusal(path, self.path):
                    raise ImportError(f"{path} {reason}", name=spec.name)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Called by each import: the result of the other finders, after a check."""
        # A program that changes its working directory may have several.
        added = [finder for finder in sys.meta_path if isinstance(finder, WorkingDirectory)]
        for finder in sys.meta_path:
            find: Any = None if finder in added else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(name, path, target) if find else None
            if spec is not None:
                for directory in added:
                    if directory.holds(spec):
                        directory.check(spec)
                return spec
        return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WorkingDirectory) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)


def refusal(path: Path, importing: Path | None = None) -> str | None:
    """The reason against running code from a file or directory; None if there is none.

    Args:
        path: the file or directory.
        importing: the entry of ``sys.path`` that would find it, for the remedy.

    The owner must be this user or root, and no other user may be able to write. A group may, if it is the user's
    private group.
    """
    if sys.platform == "win32":
        return None
    found = path.stat()
    mode = found.st_mode
    if found.st_uid not in {0, os.geteuid()}:
        reason = f"belongs to user {found.st_uid}, and this process runs as user {os.geteuid()}"
    elif mode & stat.S_IWOTH:
        reason = f"can be written to by every user (mode {stat.S_IMODE(mode):04o})"
    elif mode & stat.S_IWGRP and (found.st_gid != found.st_uid or found.st_uid == 0):
        # With user private groups (umask 002) the group of a user has the user's number. Root's group may have members.
        reason = f"can be written to by its group {found.st_gid} (mode {stat.S_IMODE(mode):04o})"
    else:
        return None
    if _is_trusted(path):
        return None
    directory = path if stat.S_ISDIR(mode) else path.parent
    return f"{reason}; set PYTHONPATH={importing or directory} or {TRUST_VARIABLE}={directory} if you trust these users"


def _places(spec: ModuleSpec) -> Iterator[str]:
    """The files that an import of the module runs, and the directories of a package."""
    if spec.has_location and spec.origin:
        yield spec.origin
        if spec.origin.endswith(".py") and os.path.exists(compiled := cache_from_source(spec.origin)):
            yield compiled
    yield from spec.submodule_search_locations or ()


def _is_trusted(path: Path) -> bool:
    named = os.environ.get(TRUST_VARIABLE, "").split(os.pathsep)
    trusted = [Path(place).resolve() for place in named if os.path.isabs(place)]
    return any(place == path.resolve() or place in path.resolve().parents for place in trusted)
