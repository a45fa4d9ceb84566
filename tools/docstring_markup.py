"""An extension of griffe: doctests and roles in a docstring become Markdown for the API reference."""

from __future__ import annotations

import re
from typing import Any

import griffe

DOCTEST = re.compile(r"^>>> .*\n(?:.+\n?)*", re.MULTILINE)
ROLE = re.compile(r":[a-z]+:`~?([^`]+)`")


class DocstringMarkup(griffe.Extension):
    """Put a fence around each doctest, and turn each role, such as ``:class:``, into code."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of one object, before griffe parses it into sections."""
        if obj.docstring:
            obj.docstring.value = DOCTEST.sub(fenced, ROLE.sub(r"`\1`", obj.docstring.value))


def fenced(doctest: re.Match[str]) -> str:
    """The doctest without its directives, as a code block."""
    lines = re.sub(r"  # doctest:.*", "", doctest[0]).rstrip("\n")
    return f"```pycon\n{lines}\n```\n"
