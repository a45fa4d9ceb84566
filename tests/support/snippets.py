"""The snippets of README and docs: their code, their needs, and the files that a reader writes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.root import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(
    r"^(?: *<!-- snippet: (?P<needs>[\w., ]+) -->\n+)?"
    r"(?P<indent> *)```(?P<language>python|console|toml)\n(?P<body>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
NEEDS = {"recorded", "openai", "promptlayer", "called", "continues", "pytest"}


@dataclass
class Snippet:
    place: str
    language: str
    needs: set[str]
    body: str
    files: dict[str, str] = field(default_factory=dict)
    """The files that the page has shown before: names and contents."""


def snippets_of(page: Path) -> tuple[list[Snippet], dict[str, str]]:
    """The snippets of a page that run, and all files that the page shows."""
    found: list[Snippet] = []
    files: dict[str, str] = {}
    text = page.read_text(encoding="utf-8")
    for fence in FENCE.finditer(text):
        line = text.count("\n", 0, fence.start("body")) + 1
        body = re.sub(rf"^{fence['indent']}", "", fence["body"], flags=re.MULTILINE)
        needs = {need for need in re.split(r",\s*", fence["needs"] or "") if need}
        if name := next((need.removeprefix("file ") for need in needs if need.startswith("file ")), None):
            files[name] = body
            continue
        if fence["language"] == "toml":
            continue
        assert needs <= NEEDS, f"{page}:{line} needs something unknown"
        if "continues" in needs:
            body = found[-1].body + body
            needs |= found[-1].needs
        found.append(
            Snippet(f"{page.relative_to(ROOT).as_posix()}:{line}", fence["language"], needs, body, dict(files))
        )
    return found, files
