"""An extension of griffe: doctests in the text of a docstring become code blocks of the API reference."""

from __future__ import annotations

import re
from typing import Any

import griffe

DOCTEST = re.compile(r"^>>> .*\n(?:.+\n?)*", re.MULTILINE)


class DoctestFences(griffe.Extension):
    """Put a fence around each doctest of each docstring."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of one object, before griffe parses it into sections."""
        if obj.docstring:
            obj.docstring.value = DOCTEST.sub(fenced, obj.docstring.value)


def fenced(doctest: re.Match[str]) -> str:
    """The doctest without its directives, as a code block."""
    lines = re.sub(r"  # doctest:.*", "", doctest[0]).rstrip("\n")
    return f"```pycon\n{lines}\n```\n"
