"""The prose linter finds each kind of breach, in each kind of file, and leaves code alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.root import ROOT
from tools import prose

LONG = f"The sender leases a record, {'sends it again, ' * 7}and stores the request id."


@pytest.mark.parametrize(
    "text",
    [
        LONG,
        "Whoever reads it waits.",
        "What is stored is kept.",
        "The server says that the key is wrong.",
        "Nobody reads it.",
        "The records of today follow those of yesterday.",
        "This is stored.",
        "An error is none.",
        "The text is stored as it is.",
        "A process has a segment of its own.",
    ],
)
def test_a_breach_is_found(text: str) -> None:
    assert list(prose.problems(text))


@pytest.mark.parametrize(
    "text",
    [
        "The sender stores the request id.",
        "What is a record?",
        "It works as long as it is open.",
        "So that one thread can read it.",
        'The button reads "What is this?" and opens a page.',
        "`whoever` and ``what`` are words of code.",
        "An empty list if there is none.",
        "The worker gives up after ten attempts.",
    ],
)
def test_plain_english_passes(text: str) -> None:
    assert list(prose.problems(text)) == []


FILES = {
    "page.md": """# Title

A record that nobody reads.

```text
what nobody checks
```

| a | what |
""",
    "module.py": '''"""A module that nobody reads.

>>> what = 1
"""


def said():
    """Return a number.

    Args:
        what: a number.
    """
    # It stores whatever it gets.
    return "what the test compares"  # tells the reader
''',
    "lib.rs": """//! A crate that nobody reads.
fn ask() -> u8 {
    // It stores whatever it gets.
    1
}
""",
}
FILES["page.tsx"] = """/** A page that nobody reads. */
export function Page() {
  // It stores whatever it gets.
  const address = "http://what.example/what";
  return <p title="what the page compares with others">The page tells the reader about it.</p>;
}
"""
FOUND = {
    "page.tsx": [1, 3, 5, 5],
    "page.md": [3, 9],
    "module.py": [1, 7, 13, 14],
    "lib.rs": [1, 2, 3],
}


@pytest.mark.parametrize("name", FILES)
def test_texts_are_found_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(prose, "ROOT", tmp_path)
    path = tmp_path / name
    path.write_text(FILES[name], encoding="utf-8")
    lines = [line for line, text, counted in sorted(prose.texts(path)) for _ in prose.problems(text, counted=counted)]
    assert lines == FOUND[name]


def test_the_linter_passes_its_source() -> None:
    command = [sys.executable, str(ROOT / "tools" / "prose.py"), "tools"]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0
