r"""The one place that decides which characters may reach a terminal, a log or a report.

Prompts, answers, recordings and responses are foreign text. A control character in them can move the cursor, change the
title of a window or hide a line. A bidirectional mark reorders a line. An invisible character hides text from a reader
and not from a model. All of them are shown as the escapes that Python uses, such as ``\x1b``.
"""

from __future__ import annotations

import functools
import re
from typing import Final

__all__ = ["json_escaped", "visible", "visible_line"]

# The characters of the Unicode categories Cc, Cf, Cs, Zl and Zp, without newline and tab. Also the characters that the
# property Default_Ignorable_Code_Point or a blank glyph makes invisible.
_HIDDEN: Final = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5"
    r"\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ud800-\udfff\ufe00-\ufe0e\ufeff\uffa0"
    r"\ufff0-\ufffb\ufffe\uffff\U000110bd\U000110cd\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    r"\U000e0000-\U000e0fff"
)
# Behind a symbol this character is a part of an emoji. Anywhere else it is invisible.
_EMOJI_STYLE: Final = r"(?<![#*0-9©®\u203c\u2049\u2122-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff])\ufe0f"


@functools.cache
def _hidden() -> re.Pattern[str]:
    # Compiled at first use: a program that records without a problem never needs it.
    return re.compile(f"[{_HIDDEN}]|{_EMOJI_STYLE}")


def visible(text: str) -> str:
    r"""The text with each control, bidirectional and invisible character as its escape. Newlines and tabs stay.

    >>> print(visible("\x1b[2J right to \u202eleft"))
    \x1b[2J right to \u202eleft
    """
    if text.isascii() and text.isprintable():
        return text
    return _hidden().sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def visible_line(text: str) -> str:
    """The visible text in one line: each run of spaces, tabs and line ends becomes a space."""
    return visible(" ".join(text.split()))


def json_escaped(text: str) -> str:
    r"""JSON of the same value, in which each of these characters is a ``\u`` escape.

    JSON allows most of them unescaped. They would still reach the terminal, or end a line.
    """
    return _hidden().sub(_json_escape, text)


def _json_escape(found: re.Match[str]) -> str:
    # JSON writes a character beyond U+FFFF as two surrogates.
    units = found[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
