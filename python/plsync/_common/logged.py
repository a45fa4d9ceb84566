"""Exceptions in logs and in the journal: their text without credentials and without characters that steer a terminal.

The text of an exception of a program or of a server is foreign. A log record that holds the exception itself would copy
this text unchanged, into a log file, journald or a service that collects errors.
"""

from __future__ import annotations

import traceback
from typing import Final

from plsync._common.api_key import redact_api_keys
from plsync._common.redaction import redact_text
from plsync._terminal import visible, visible_line

__all__ = ["LoggedError", "cleaned_line", "loggable", "reason_of"]

_LONGEST_REASON: Final = 500
# A traceback of 16 kB has more frames than a reader needs. The last ones are the nearest to the cause.
_LONGEST_TRACEBACK: Final = 16_384


class LoggedError(Exception):
    """Stands for an exception in a log record. Its text is the traceback of that exception, cleaned."""


def loggable(error: BaseException) -> LoggedError:
    """A stand-in for an exception, for ``exc_info``: it has the cleaned traceback as text, and no frames.

    Each line but the first is indented, so that no line of an exception can pose as a line of the log.
    """
    text = visible(_clean("".join(traceback.format_exception(error)))).rstrip()
    if len(text) > _LONGEST_TRACEBACK:
        text = f"...{text[-_LONGEST_TRACEBACK:]}"
    return LoggedError(f"{_kind(error)}\n{text}".replace("\n", "\n    "))


def reason_of(error: BaseException) -> str:
    """The class and the text of an exception in one cleaned line, of 500 characters at most.

    >>> reason_of(ValueError("no connection to https://ann:word@example.org/x?api_key=abc"))
    'ValueError: no connection to https://[redacted]example.org/x?api_key=[redacted]'
    """
    return cleaned_line(f"{_kind(error)}: {_message(error)}")


def cleaned_line(text: str) -> str:
    """A foreign text in one line, without credentials, of 500 characters at most."""
    # A credential is replaced before the text is cut: a part of a key is still a part of a key.
    return visible_line(_clean(text))[:_LONGEST_REASON]


def _clean(text: str) -> str:
    return redact_api_keys(redact_text(text))


def _kind(error: BaseException) -> str:
    return visible_line(type(error).__name__)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as raised:  # the exception's class belongs to the program
        return f"<str failed: {type(raised).__name__}>"
