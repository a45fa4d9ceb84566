"""Shows differences between texts that look alike: line ends, spaces, invisible characters, spellings of one letter."""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Final

__all__ = ["escaped_pairs"]

_AROUND: Final = 60
# Letters of other alphabets that look like Latin letters.
_LOOK_ALIKE: Final = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0455\u0458\u0410\u0412\u0415\u041a\u041c\u041d"
    "\u041e\u0420\u0421\u0422\u0425\u03bf\u0391\u0392\u0395\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a7",
    "aeopcyxisjABEKMHOPCTXoABEHIKMNOPTX",
)


def escaped_pairs(one: Any, other: Any) -> tuple[dict[str, str], dict[str, str]]:
    """The texts of two requests that differ and look alike, by path: each with escapes, around the first difference.

    >>> escaped_pairs({"prompt": "Hi"}, {"prompt": "Hi "})
    ({'prompt': "'Hi'"}, {'prompt': "'Hi '"})
    """
    others = dict(_texts("", other))
    shown: dict[str, str] = {}
    others_shown: dict[str, str] = {}
    for path, text in _texts("", one):
        other_text = others.get(path)
        if other_text is not None and text != other_text and _skeleton(text) == _skeleton(other_text):
            shown[path], others_shown[path] = _around_difference(text, other_text)
    return shown, others_shown


def _texts(path: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        parts = [(f"{path}.{key}" if path else str(key), item) for key, item in value.items()]
    elif isinstance(value, list):
        parts = [(f"{path}[{number}]", item) for number, item in enumerate(value)]
    else:
        return [(path, value)] if isinstance(value, str) else []
    return [found for name, item in parts for found in _texts(name, item)]


def _skeleton(text: str) -> str:
    """A text without the differences that a reader cannot see."""
    if text.isascii():
        return re.sub(r"[\x00-\x20\x7f]+", "", text)
    letters = unicodedata.normalize("NFKC", text).translate(_LOOK_ALIKE)
    kept = "".join(
        letter for letter in letters if unicodedata.category(letter) not in ("Cf", "Cc", "Mn") or letter == "\n"
    )
    return re.sub(r"\s+", "", kept)


def _around_difference(one: str, other: str) -> tuple[str, str]:
    most = min(len(one), len(other))
    at = next((number for number in range(most) if one[number] != other[number]), most)
    start = max(0, at - _AROUND)
    return _shown(one, start, at + _AROUND), _shown(other, start, at + _AROUND)


def _shown(text: str, start: int, end: int) -> str:
    return f"{'...' if start else ''}{text[start:end]!a}{'...' if end < len(text) else ''}"
