"""Texts and values of any size in responses: over 256 KB a field is folded, and fetched by its address."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from plsync.ui.answers import as_json

__all__ = ["FOLDED", "Fields", "bounded", "preview", "preview_of"]

FOLDED: Final = 256 * 1024
"""A field with more bytes is folded."""
_START: Final = 4096
_PREVIEW: Final = 240
_PREVIEW_END: Final = 80
# A page shows no deeper levels of JSON; the raw JSON has them.
_DEEPEST: Final = 100


class Fields:
    """Makes the fields of one record.

    Args:
        address: the address of the record's fields; empty if no field is folded, as in a file.
        hide: whether texts are left out.
    """

    def __init__(self, address: str = "", *, hide: bool = False) -> None:
        self.address = address
        self.hide = hide

    def text(self, text: str, path: str) -> dict[str, Any]:
        """A text.

        Args:
            text: the whole text.
            path: the place of the text in the record, for its address.
        """
        if self.hide:
            return {"text": "", "chars": len(text), "hidden": True}
        if self.address and len(text) > _START and (size := len(text.encode("utf-8", "surrogatepass"))) > FOLDED:
            return {"text": text[:_START], "chars": len(text), "folded": self._folded(path, size)}
        return {"text": text, "chars": len(text)}

    def value(self, value: Any, path: str, *, is_content: bool = True) -> dict[str, Any]:
        """A value of JSON.

        Args:
            value: the whole value.
            path: the place of the value in the record, for its address.
            is_content: whether it is left out with the texts.
        """
        encoded = as_json(value)
        if self.hide and is_content:
            return {"hidden": True, "bytes": len(encoded)}
        if self.address and len(encoded) > FOLDED:
            start = encoded[:_START].decode("utf-8", "ignore")
            return {"text": start, "folded": self._folded(path, len(encoded))}
        return {"json": bounded(value)}

    def _folded(self, path: str, size: int) -> dict[str, Any]:
        return {"href": f"{self.address}?path={quote(path, safe='')}", "bytes": size}


def bounded(value: Any, depth: int = 0) -> Any:
    """The value without levels that a parser of the browser, or a page, cannot show: their JSON stands there."""
    if not isinstance(value, dict | list):
        return value
    if depth >= _DEEPEST:
        return as_json(value).decode()
    if isinstance(value, list):
        return [bounded(item, depth + 1) for item in value]
    return {str(key): bounded(item, depth + 1) for key, item in value.items()}


def preview(text: str) -> str:
    """A text on one line of at most 240 characters: its start, and its end if the middle is left out."""
    # A prompt may have megabytes, or begin with thousands of blanks.
    words = text[: 8 * _PREVIEW].split()
    start = " ".join(words)
    if len(text) <= 8 * _PREVIEW and len(start) <= _PREVIEW:
        return start
    end = " ".join(text[-4 * _PREVIEW_END :].split())[-_PREVIEW_END:]
    return f"{start[: _PREVIEW - _PREVIEW_END - 3].rstrip()} … {end.lstrip()}"


def preview_of(value: Any) -> str | None:
    """A value of JSON on one line; None for None."""
    if value is None:
        return None
    return preview(value if isinstance(value, str) else as_json(value).decode("utf-8", "replace"))
