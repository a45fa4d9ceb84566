"""Finds a secret in a text in the spellings of servers, proxies and loggers.

A spelling differs in case, in escapes (percent, JSON, HTML), or in line breaks, spaces and quotes between characters.
Base64 and hexadecimal digits are spellings too. A part of the secret counts as well, because a server may have cut its
own text.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Final

__all__ = ["SecretRedactor"]

# A part of a secret of this many characters is replaced. Shorter parts are common words.
_SHORTEST_PART: Final = 8
# Below this length a secret is replaced in its exact spelling only.
_SHORTEST_SECRET: Final = 6

_ESCAPE: Final = re.compile(
    r"(?i)%(?:25)*([0-9a-f]{2})"
    r"|\\{1,8}u\{?(?:00){1,3}([0-9a-f]{2})\}?"
    r"|\\{1,8}x([0-9a-f]{2})"
    r"|&(?:amp;)*#x0*([0-9a-f]{2});?"
    r"|&(?:amp;)*#0*([0-9]{2,3});?"
)
_BREAK: Final = re.compile(
    r"(?i)\\{1,8}[nrt]|\\|=\r?\n|%(?:25)*(?:0[9ad]|20)|<w?br\s{0,9}/?>"
    r"|[\s\"'`|>\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u2060\ufeff]+"
)


class SecretRedactor:
    """Replaces one secret, and each part of it of eight characters or more.

    The time is proportional to the length of the text.

    Args:
        secret: the secret, of ASCII characters.
        replacement: the text in its place.
        shortest_part: the characters of the shortest part that is replaced.

    >>> SecretRedactor("pl_0123456789abcdef", "[the key]")("sent PL%5F01234\\n56789abc to you")
    'sent [the key] to you'
    """

    def __init__(self, secret: str, replacement: str, *, shortest_part: int = _SHORTEST_PART) -> None:
        self._secret = secret
        self._replacement = replacement
        plain = "".join(character for character, _, _ in _characters(secret, escapes=False))
        self._parts: dict[int, frozenset[str]] = {}
        if len(plain) >= _SHORTEST_SECRET:
            for spelling in (plain, *_encodings(secret)):
                size = min(shortest_part, len(spelling))
                found = {spelling[begin : begin + size] for begin in range(len(spelling) - size + 1)}
                self._parts[size] = self._parts.get(size, frozenset()) | found

    def __call__(self, text: str) -> str:
        """The text without the secret."""
        text = text.replace(self._secret, self._replacement) if self._secret else text
        spans = sorted(span for escapes in (False, True) for span in self._spans(text, escapes))
        pieces: list[str] = []
        end = 0
        for first, last in spans:
            if first >= end:
                pieces += (text[end:first], self._replacement)
            end = max(end, last)
        return "".join((*pieces, text[end:]))

    def _spans(self, text: str, escapes: bool) -> Iterator[tuple[int, int]]:
        characters = list(_characters(text, escapes=escapes))
        plain = "".join(character for character, _, _ in characters)
        for size, parts in self._parts.items():
            for begin in range(len(plain) - size + 1):
                if plain[begin : begin + size] in parts:
                    yield characters[begin][1], characters[begin + size - 1][2]


def _characters(text: str, *, escapes: bool) -> Iterator[tuple[str, int, int]]:
    """The characters of a text in lower case without breaks, each with its place in the text."""
    place = 0
    while place < len(text):
        end, character = place + 1, text[place]
        if escapes and character in "%\\&" and (escape := _ESCAPE.match(text, place)):
            end = escape.end()
            code = escape[5]
            character = chr(int(code) if code else int(next(filter(None, escape.groups())), 16))
            if _BREAK.match(character):
                place = end
                continue
        elif gap := _BREAK.match(text, place):
            place = gap.end()
            continue
        # Some characters have a longer form in lower case, and every place must stay one character.
        yield character.lower()[:1], place, end
        place = end


def _encodings(secret: str) -> Iterator[str]:
    """Base64 of any text around the secret, in both alphabets, and hexadecimal digits; in lower case."""
    plain = secret.encode("utf-8", "replace")
    yield plain.hex()
    for before in range(3):
        first, last = -(-before * 8 // 6), (before + len(plain)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(b"\0" * before + plain).decode()[first:last].lower()
