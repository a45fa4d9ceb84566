"""Standard output and standard error: text for people, JSON for programs, errors in one line.

A journal holds text from models and users. Control characters and markup in it are escaped before a terminal gets them.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, Final, NoReturn, TextIO

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from plsync._common.large_json import dumps
from plsync._terminal import json_escaped, visible, visible_line
from plsync.cli.streams import encodable, exit_on_broken_pipe, naming_output
from plsync.errors import PlsyncWarning

__all__ = [
    "escaped",
    "exit_with_error",
    "indented",
    "is_for_program",
    "labelled",
    "one_line",
    "print_json",
    "print_line",
    "print_lines",
    "print_note",
    "print_traceback",
    "print_version",
    "print_warnings",
    "stderr_console",
    "stdout_console",
    "wrapped",
    "write_text",
]

_PIPE_WIDTH: Final = 160
# Digits of a width.
_LONGEST_WIDTH: Final = 6
_LABEL_WIDTH: Final = 14
# The cuts of a long line that are tried.
_MOST_CUTS: Final = 8
# The least indentation of a line that continues one at the left margin, or an indented one.
_CONTINUED: Final = 6
_NAMED: Final = 4


class _StdoutConsole(Console):
    def on_broken_pipe(self) -> None:
        exit_on_broken_pipe()


def stdout_console() -> Console:
    """A console on standard output: as wide as the terminal, or 160 columns in a pipe."""
    width = _named_width() or (None if sys.stdout.isatty() else _PIPE_WIDTH)
    return _StdoutConsole(highlight=False, markup=False, emoji=False, width=width)


def is_for_program(console: Console) -> bool:
    """Whether a table goes to a program, which gets every column and whole times. With ``COLUMNS`` set it does not."""
    return not console.is_terminal and _named_width() is None


def _named_width() -> int | None:
    """The width in ``COLUMNS``; None unless it is a number of columns."""
    named = os.environ.get("COLUMNS", "")
    return int(named) or None if named.isdecimal() and len(named) <= _LONGEST_WIDTH else None


def stderr_console() -> Console:
    """A console on standard error, with the width of :func:`stdout_console`."""
    width = _named_width() or (None if sys.stderr.isatty() else _PIPE_WIDTH)
    return Console(stderr=True, highlight=False, markup=False, emoji=False, width=width)


def print_line(text: str, style: str = "") -> None:
    """Print a text as one line on standard output."""
    print_lines(stdout_console(), [escaped(text, style)])


def print_json(value: Any, to: TextIO | None = None) -> None:
    """Print one JSON object as one line, unbuffered, on standard output or on the stream ``to``."""
    stream = to or sys.stdout
    try:
        text = dumps(value).decode()
    except TypeError:  # a path that is not UTF-8
        text = json.dumps(value, separators=(",", ":"))
    try:
        with naming_output() if stream is sys.stdout else contextlib.nullcontext():
            stream.buffer.write(json_escaped(text).encode() + b"\n")
            stream.buffer.flush()
    except BrokenPipeError:
        exit_on_broken_pipe()


def write_text(text: str) -> None:
    """Write a text to standard output as UTF-8, without a change."""
    try:
        with naming_output():
            sys.stdout.flush()
            sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
            sys.stdout.buffer.flush()
    except BrokenPipeError:
        exit_on_broken_pipe()


def escaped(value: object, style: str = "") -> Text:
    """The value as one line of text whose control characters are escaped, and whose markup has no effect.

    A newline is escaped too: only :func:`indented` begins lines.
    """
    return Text(encodable(visible(str(value)).replace("\n", "\\n").expandtabs(4)), style=style)


def indented(value: object, indent: int, style: str = "") -> Iterator[Text]:
    """The lines of a text, each behind ``indent`` spaces, so that none can pose as a line of plsync."""
    # Not splitlines(): it treats some control characters as line ends and would hide them.
    for line in str(value).split("\n"):
        yield Text(" " * indent) + escaped(line, style)


def print_lines(console: Console, lines: Iterable[Text]) -> None:
    """Print lines. A terminal gets a line that is too wide in several, of which the later ones are indented.

    The terminal itself would continue the line at the left margin, where a text could pose as a line of plsync.
    """
    for line in lines:
        if not console.is_terminal or line.cell_len <= console.width:
            console.print(line, soft_wrap=True)
            continue
        head, margin = _indents(line)
        body = line[head:]
        first = wrapped(body, console.width - head)[0]
        rest = body[len(first) :]
        rest = rest[len(rest) - len(rest.plain.lstrip(" ")) :]
        parts = wrapped(rest, console.width - margin) if rest else []
        console.print(line[:head] + first, *(Text(" " * margin) + part for part in parts), sep="\n", soft_wrap=True)


def wrapped(text: Text, width: int) -> list[Text]:
    """The text in lines of at most ``width`` columns, broken between words where that is possible."""
    lines = list(text.wrap(_plain_console(), max(1, width), overflow="fold"))
    for line in lines[:-1]:
        line.rstrip()
    return lines


@functools.cache
def _plain_console() -> Console:
    return Console(file=io.StringIO())


def _indents(line: Text) -> tuple[int, int]:
    """The length of a line's label or indentation, and the indentation of the lines that continue the line."""
    if isinstance(line, _Labelled):
        return _LABEL_WIDTH, _LABEL_WIDTH
    own = len(line.plain) - len(line.plain.lstrip(" "))
    return own, max(own, _NAMED) if own else _CONTINUED


def one_line(value: object, limit: int = 200, *, keep_end: bool = False) -> Text:
    """The beginning of a text on one line.

    Args:
        value: the text.
        limit: the greatest width, in columns.
        keep_end: cut a text that is too wide in its middle, and keep its end. A prompt often ends with the question.
    """
    # A prompt may have megabytes, and begin or end with thousands of blanks: a word has a column or more.
    text = str(value)
    words = text.split(None, limit)
    line = escaped(" ".join(word[: limit * 4] for word in words))
    is_whole = len(words) <= limit and all(len(word) <= limit * 4 for word in words)
    if not keep_end or (is_whole and line.cell_len <= limit):
        line.truncate(limit, overflow="ellipsis")
        return line
    tail = escaped(" ".join(word[-limit * 4 :] for word in text.rsplit(None, limit))).plain
    line.truncate(limit)
    # A cut beside a blank leaves a column unused, so a cut a little earlier may show more.
    tries = _MOST_CUTS if line.plain.isascii() else 1
    cuts = (_cut_in_the_middle(line, tail, limit, limit - limit // 3 - 1 - less) for less in range(tries))
    best = next(cuts)
    while best.cell_len < limit and (other := next(cuts, None)) is not None:
        best = other if other.cell_len > best.cell_len else best
    return best


def _cut_in_the_middle(begin: Text, end: str, limit: int, head: int) -> Text:
    """The beginning of a line, an ellipsis, and the end of the line, without blanks beside the ellipsis."""
    line = begin.copy()
    line.truncate(max(0, head))
    line.rstrip()
    room, width, start = limit - line.cell_len - 1, 0, len(end)
    while start and (width := width + cell_len(end[start - 1])) <= room:
        start -= 1
    return line.append("…").append(end[start:].lstrip())


class _Labelled(Text):
    pass


def labelled(label: str, value: Text) -> Text:
    """A line with a bold label in a column of its width."""
    return _Labelled.assemble((label.ljust(_LABEL_WIDTH), "bold"), value)


def print_note(message: str) -> None:
    """Print one line on standard error. A line that cannot be written is dropped."""
    # One write, so that the lines of two threads do not mix.
    with contextlib.suppress(OSError):
        print(f"{visible_line(message)}\n", end="", file=sys.stderr)


def exit_with_error(message: str) -> NoReturn:
    """Print an error as one line on standard error, and exit with 1."""
    print_note(f"plsync: {message}")
    raise SystemExit(1)


def print_warnings() -> None:
    """Print plsync's warnings as one line on standard error. Python still shows all other warnings."""
    show_as_python = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, PlsyncWarning):
            print_note(f"plsync: {message}")
        else:
            show_as_python(message, category, *where, **more)

    warnings.showwarning = show


def print_traceback(error: BaseException) -> None:
    """Print the traceback of an unexpected exception on standard error, without credentials and control characters."""
    from plsync._common.logged import loggable  # noqa: PLC0415 - only a defect needs it

    print(f"plsync: unexpected error: {loggable(error)}", file=sys.stderr)


def print_version(requested: bool) -> None:
    """Print the version and exit, if ``--version`` was passed."""
    if requested:
        import importlib.metadata  # noqa: PLC0415 - slow to import

        print(f"plsync {importlib.metadata.version('plsync')}")
        raise typer.Exit
