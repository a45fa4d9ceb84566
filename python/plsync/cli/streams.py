"""The standard streams: characters that a terminal lacks, and streams that cannot be written."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Final, NoReturn, TextIO

__all__ = ["discard_unwritten", "encodable", "exit_on_broken_pipe", "naming_output", "prepare_streams"]

# The name of standard output in its errors.
_OUTPUT: Final = "the output"
_UNENCODABLE: Final = "plsync-terminal"
# The signs of tables and trees, for a terminal without them.
_SIGNS: Final = dict(zip("…→·├│└─", "~>-||`-", strict=True))


def prepare_streams() -> None:
    """Escape characters that the terminal cannot encode, and replace missing streams."""
    sys.stdout = sys.stdout or _null_stream()
    sys.stderr = sys.stderr or _null_stream()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_UNENCODABLE)
    sys.stdout = _named(sys.stdout)


def encodable(text: str) -> str:
    """The text as standard output writes it: the layout needs the width of an escape, not of its character."""
    if text.isascii():
        return text
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, _UNENCODABLE).decode(encoding)


def _substitute(error: UnicodeError) -> tuple[str, int]:
    """The handler of characters that a stream cannot encode: a sign of the same width, or the escape of Python."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    part = error.object[error.start : error.end]
    written = (_SIGNS.get(one) or one.encode("ascii", "backslashreplace").decode() for one in part)
    return "".join(written), error.end


codecs.register_error(_UNENCODABLE, _substitute)


# A stream without a reference would close its file.
_replaced: Final[list[TextIO]] = []


@contextlib.contextmanager
def naming_output() -> Iterator[None]:
    """Name standard output in the error of a write to it."""
    try:
        yield
    except OSError as error:
        error.filename = _OUTPUT
        raise


class _Output(io.TextIOWrapper):
    def write(self, text: str, /) -> int:
        with naming_output():
            return super().write(text)

    def flush(self) -> None:
        with naming_output():
            super().flush()


def _named(stream: TextIO) -> TextIO:
    if type(stream) is not io.TextIOWrapper:
        return stream
    _replaced.append(stream)
    return _Output(
        stream.buffer,
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def discard_unwritten() -> None:
    """Drop the text that the standard streams cannot write. The interpreter would try again, and exit with 120."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError):  # a closed stream
            try:
                stream.flush()
            except OSError:
                _detach(stream)


def exit_on_broken_pipe() -> NoReturn:
    """Exit quietly with 0: the reader of the output has closed it, as ``| head`` does."""
    _detach(sys.stdout)
    raise SystemExit(0)


def _detach(stream: TextIO) -> None:
    """Let a stream write to nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _null_stream() -> TextIO:
    # The descriptor stays open until the process ends.
    return open(os.open(os.devnull, os.O_WRONLY), "w", closefd=False)
