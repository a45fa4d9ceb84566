"""Standard output and standard error: tables for people, JSON for programs, errors in one line.

What a journal holds came from models and users. Before it reaches a terminal, everything that could command the
terminal or read as markup is made visible instead.
"""

from __future__ import annotations

import json
import os
import re
import sys
import warnings
from typing import Any, Final, NoReturn, TextIO

import orjson
import typer
from rich.console import Console
from rich.text import Text

from plsync.errors import PlsyncWarning

__all__ = ["fact", "fail", "json_line", "note", "one_line", "out", "prepare", "safe", "show_warnings", "version"]

# C0 and C1 controls but newline and tab; marks that reorder what is shown; line ends other than newline; surrogates.
_COMMANDING: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_PIPE_WIDTH: Final = 160
_LABEL: Final = 14


class _Out(Console):
    def on_broken_pipe(self) -> None:
        hang_up()


def out() -> Console:
    """Standard output for people; as wide as the terminal, or wide when a program reads it."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH
    return _Out(highlight=False, markup=False, emoji=False, width=width)


def json_line(value: Any, to: TextIO | None = None) -> None:
    """Print one JSON object on a line of its own, at once; to standard output, or what that was earlier."""
    stream = to or sys.stdout
    try:
        text = orjson.dumps(value).decode()
    except TypeError:  # a path that is no UTF-8
        text = json.dumps(value, separators=(",", ":"))
    # JSON allows some of these characters bare; escaped they neither reach a terminal nor count as line ends.
    line = _COMMANDING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    try:
        stream.buffer.write(line.encode() + b"\n")
        stream.buffer.flush()
    except BrokenPipeError:
        hang_up()


def safe(value: object, style: str = "") -> Text:
    """Text that shows control characters instead of obeying them, and takes no markup."""
    visible = _COMMANDING.sub(lambda found: found[0].encode("unicode_escape").decode(), str(value))
    return Text(visible.expandtabs(4), style=style)


def one_line(value: object, limit: int = 200) -> Text:
    """The beginning of a text on one line."""
    # Cut first: a prompt may be megabytes long.
    words = str(value)[: limit * 4].split()
    line = " ".join(words)
    return safe(line if len(line) <= limit else line[: limit - 1] + "…")


def fact(label: str, value: Text) -> Text:
    """A line that says one thing, under a label."""
    return Text.assemble((label.ljust(_LABEL), "bold"), value)


def note(message: str) -> None:
    """A line beside the output, on standard error."""
    print(safe(message).plain, file=sys.stderr)


def fail(message: str) -> NoReturn:
    """Say in one line what is wrong and what to do; exit with 1."""
    note(f"plsync: {' '.join(message.split())}")
    raise SystemExit(1)


def hang_up() -> NoReturn:
    """The reader of our output has gone, as ``| head`` does when it has enough: stop, quietly."""
    # The interpreter flushes stdout at exit and would complain again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(0)


def prepare() -> None:
    """Let a terminal with a narrow encoding show what it can, and a process without one do its work."""
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _nowhere() -> TextIO:
    # Open for as long as the process is.
    return open(os.open(os.devnull, os.O_WRONLY), "w", closefd=False)


def show_warnings() -> None:
    """Let plsync's own warnings be a line on standard error; others stay as Python shows them."""
    as_python_does = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, PlsyncWarning):
            note(f"plsync: {message}")
        else:
            as_python_does(message, category, *where, **more)

    warnings.showwarning = show


def version(wanted: bool) -> None:
    """Prints the version and exits, if ``--version`` was given."""
    if wanted:
        import importlib.metadata  # noqa: PLC0415 - slow to import, rarely asked for

        print(f"plsync {importlib.metadata.version('plsync')}")
        raise typer.Exit
