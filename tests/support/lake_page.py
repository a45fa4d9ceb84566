"""The code of docs/guide/lake.md, by question and engine."""

from __future__ import annotations

import re
from typing import Final

from tests.support.root import ROOT

__all__ = ["QUESTIONS", "VIEW", "code"]

VIEW: Final = "Five questions"
"""The section that names the lake."""

_PAGE: Final = (ROOT / "docs" / "guide" / "lake.md").read_text(encoding="utf-8")
_SECTION: Final = re.compile(r"^##+ (.+)\n((?:(?!^##).*\n)*)", re.MULTILINE)
_FENCE: Final = re.compile(r'^```(?:sql|py) title="([^"\n]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
_SECTIONS: Final = {title: _FENCE.findall(text) for title, text in _SECTION.findall(_PAGE)}

QUESTIONS: Final = [title for title, fences in _SECTIONS.items() if fences and title != VIEW]


def code(section: str, engine: str) -> str:
    """The code of a section for an engine; empty without one."""
    return next((text for title, text in _SECTIONS[section] if engine in title.split(" and ")), "")
