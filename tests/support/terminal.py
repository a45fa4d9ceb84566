"""The output of a command on a terminal, and the characters that no output may have."""

from __future__ import annotations

import os
import pty
import re
import unicodedata
from pathlib import Path
from typing import Final

from tests.support import programs
from tests.support.commands import PLSYNC, environment

# A terminal without colours and without movements of the cursor: every control character in its output is foreign.
_DUMB: Final = {"TERM": "dumb", "NO_COLOR": "1"}
_STYLES: Final = re.compile(r"\x1b\[[0-9;]*m")

_INVISIBLE: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")


def hidden_characters(text: str) -> set[str]:
    """The characters of an output that a reader does not see, or that steer a terminal."""
    return {char for char in set(text) if char != "\n" and _is_hidden(char)}


def _is_hidden(char: str) -> bool:
    hidden = unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return hidden or char in _INVISIBLE or "\ufe00" <= char <= "\ufe0e" or "\U000e0000" <= char <= "\U000e0fff"


def on_terminal(journal: Path, *arguments: str, columns: int | None = None, typed: str = "", **variables: str) -> str:
    """The standard output and standard error of ``plsync`` on a terminal, without colours, and with plain newlines."""
    controller, terminal = pty.openpty()
    # A dumb terminal has 80 columns.
    terminal_type = _DUMB if columns is None else {"TERM": "xterm", "COLUMNS": str(columns)}
    started = environment(journal, **terminal_type, **variables)
    command = [str(PLSYNC), *arguments]
    with programs.Popen(command, env=started, stdin=terminal, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        os.write(controller, typed.encode())
        parts = []
        try:
            while part := os.read(controller, 65536):
                parts.append(part)
        except OSError:  # Linux reports the end of the other side as an error
            pass
        process.wait(60)
    os.close(controller)
    text = b"".join(parts).decode("utf-8", "surrogateescape").replace("\r\n", "\n")
    return text if columns is None else _STYLES.sub("", text)
