"""Journals that are shared with a group of users, as by the user of a web server and the user of a sender."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import asdict, dataclass
from typing import Any, Final

from plsync._common import native

__all__ = ["ShareReport", "group_number", "group_text", "share"]

# The largest number means "unchanged" to the system.
_LARGEST: Final = (1 << 32) - 2


@dataclass(frozen=True, slots=True)
class ShareReport:
    """The result of sharing a journal, or of making it private."""

    journal: str
    """The journal's directory."""
    group: int | None
    """The number of the group that the journal is shared with now; None for a private journal."""
    previous: int | None
    """The number of the group that it was shared with before."""
    changed: int
    """Files and directories that got another group, mode or owner."""

    def as_dict(self) -> dict[str, Any]:
        """The same names, JSON-able, and the ``name`` of the group."""
        return asdict(self) | {"name": None if self.group is None else group_name(self.group)}


def share(path: str | os.PathLike[str], group: str | int | None) -> ShareReport:
    """Share a journal with a group, or make it private with None. See :meth:`plsync.Journal.share`."""
    number = None if group is None else group_number(group)
    directory = os.path.abspath(os.fspath(path))
    return ShareReport(directory, number, **native.share(directory, number))


def group_number(group: str | int) -> int:
    """The number of a group of this machine, which a name or a number names.

    Raises:
        ValueError: there is no such group.
    """
    if isinstance(group, str) and not (group.isascii() and group.isdigit()):
        if sys.platform != "win32":
            import grp  # noqa: PLC0415 - Windows lacks this module

            with contextlib.suppress(KeyError):
                return grp.getgrnam(group).gr_gid
        raise ValueError(f"there is no group {group!r} on this machine; nothing was changed")
    number = int(group)
    if not 0 <= number <= _LARGEST:
        raise ValueError(f"{number} is no number of a group; nothing was changed")
    return number


def group_name(number: int) -> str | None:
    """The name of a group; None if this machine knows no group of that number."""
    if sys.platform != "win32":
        import grp  # noqa: PLC0415 - Windows lacks this module

        with contextlib.suppress(KeyError):
            return grp.getgrgid(number).gr_name
    return None


def group_text(number: int) -> str:
    """A group for people: its name and number."""
    name = group_name(number)
    return str(number) if name is None else f"{name} ({number})"
