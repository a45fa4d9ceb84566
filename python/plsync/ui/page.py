"""The page as one file that opens without a server and without a network.

It has the program and the styles of the page, and the chosen calls as data for the program. It has the same calls as
articles, which a browser without JavaScript shows.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from plsync._common.clock import now_ms
from plsync._common.files import replacing
from plsync._terminal import visible
from plsync.errors import ExportError
from plsync.journal.display.conversation import conversation
from plsync.journal.display.figures import count
from plsync.journal.display.html import article, style
from plsync.journal.journal import Journal
from plsync.journal.record import Record
from plsync.ui.answers import as_json
from plsync.ui.detail import Detail
from plsync.ui.earlier import earlier
from plsync.ui.overview import version
from plsync.ui.prices import Prices
from plsync.ui.rows import Rows
from plsync.ui.trees import tree_of
from plsync.ui.values import Fields

__all__ = ["LARGE", "PageReport", "write_page"]

LARGE: Final = 50_000_000
"""Bytes of a file from which on browsers open it slowly."""
_STATIC: Final = Path(__file__).parent / "static"
_CONTENT: Final = ("input", "output", "error_message")
_NOTICE: Final = (
    ".plsync-notice{padding:.5rem 1rem;margin:0;border-bottom:1px solid #8886;font:14px/1.5 system-ui,sans-serif}"
)


@dataclass(frozen=True, slots=True)
class PageReport:
    """The result of an export to a page."""

    page: str
    """The path of the file."""
    calls: int
    bytes: int

    def as_dict(self) -> dict[str, Any]:
        """The same names, JSON-able."""
        return {"page": self.page, "calls": self.calls, "bytes": self.bytes}


def write_page(
    journal: Journal, records: Iterable[Record], path: Path, *, query: str = "", hide: bool = False
) -> PageReport:
    """Write records into a page.

    Args:
        journal: their journal.
        records: the records, in the order of the page.
        path: the file, which must not exist.
        query: the filters that chose them, as a text for readers.
        hide: leave out messages, tools and error messages.

    Raises:
        ExportError: the file exists, or cannot be written. Nothing was changed.
    """
    chosen = _Chosen(journal)
    try:
        if path.exists():
            raise ExportError(f"{path} exists and was not changed: choose another path")
        with replacing(path) as file:
            for part in _parts(journal, records, chosen, query, hide=hide):
                file.write(part)
            size = file.tell()
    except OSError as error:
        raise ExportError(f"{path}: {error.strerror}; no page was written") from error
    return PageReport(str(path), len(chosen.ids), size)


class _Chosen:
    """The chosen records, which are read again for each part of the file: they may have gigabytes."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.ids: dict[str, None] = {}

    def __iter__(self) -> Iterator[Record]:
        for one in self.ids:
            if (record := self._journal.peek(one, runs=True)) is not None:
                yield record


def _parts(journal: Journal, records: Iterable[Record], chosen: _Chosen, query: str, *, hide: bool) -> Iterator[bytes]:
    script = _inline((_STATIC / "app.js").read_text(encoding="utf-8"))
    styles = (_STATIC / "app.css").read_text(encoding="utf-8") + style() + _NOTICE
    if "</style" in styles.lower():
        raise ExportError("the styles of the page cannot be part of a file; no page was written: install plsync again")
    made = now_ms()
    yield (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(script, styles)}">'
        '<meta name="referrer" content="no-referrer"><meta name="viewport" content="width=device-width">'
        f"<title>plsync: {html.escape(visible(journal.path.name))}</title><style>{styles}</style></head>\n"
        f'<body><div id="app"></div><main id="plain" class="plsync"><h1>Calls</h1>\n'
    ).encode()
    for record in records:
        yield (article(record, hide=hide) + "\n").encode("utf-8", "backslashreplace")
        chosen.ids[record.id] = None
    yield _notice(journal, len(chosen.ids), made, query, hide=hide).encode()
    yield b'</main><script type="application/json" id="plsync-data">'
    yield from _data(journal, chosen, made, query, hide=hide)
    yield b"</script><script>" + script.encode() + b"</script></body></html>\n"


def _notice(journal: Journal, number: int, made: int, query: str, *, hide: bool) -> str:
    at = f"{datetime.fromtimestamp(made / 1000).astimezone():%Y-%m-%d %H:%M %Z}"
    parts = (
        f"made from the journal {journal.path.name} on {at}",
        count(number, "call"),
        "content left out" if hide else "content included",
        query,
    )
    return f'<p class="plsync-notice">{html.escape(visible(", ".join(filter(None, parts))))}</p>'


def _data(journal: Journal, records: _Chosen, made: int, query: str, *, hide: bool) -> Iterator[bytes]:
    """The data for the program, a record at a time."""
    rows = Rows(Prices(), hide, journal.last_seq())
    head = {
        "format": 1,
        "version": version(),
        "made_ms": made,
        "journal": {"path": journal.path.name, "name": journal.path.name, "id": journal.id},
        "query": query,
        "count": len(records.ids),
        "hide_content": hide,
        "read_only": True,
    }
    yield _safe(as_json(head)[:-1])
    yield b',"calls":['
    for number, record in enumerate(records):
        yield (b"," if number else b"") + _safe(as_json(rows.row(record, record.metadata)))
    yield b'],"details":{'
    roots: dict[str, None] = {}
    for number, record in enumerate(records):
        detail = Detail(record, rows, Fields(hide=hide)).as_dict(_followups(journal, record))
        repeated = earlier(journal, record)
        # The messages of a call that is not in the file are not left out.
        detail["earlier"] = repeated if repeated and repeated["as"] in records.ids else None
        if record.root_id is not None:
            detail["tree"] = {"root_id": record.root_id}
            roots[record.root_id] = None
        yield (b"," if number else b"") + as_json(record.id) + b":" + _safe(as_json(detail))
    yield b'},"trees":{'
    for number, root in enumerate(roots):
        tree = tree_of(journal.tree(root), rows)
        for run in tree["runs"]:
            if run["id"] not in records.ids:
                # Only the chosen records were to be shared.
                run.update(dict.fromkeys(_CONTENT))
        yield (b"," if number else b"") + as_json(root) + b":" + _safe(as_json(tree))
    yield b'},"media":{'
    if not hide:
        yield from _media(records)
    yield b"}}"


def _media(records: Iterable[Record]) -> Iterator[bytes]:
    is_first = True
    for record in records:
        for number, media in enumerate(conversation(record).media()):
            if (content := media.content()) is not None:
                value = {"mime": media.type_of(content), "base64": base64.b64encode(content).decode()}
                yield (b"" if is_first else b",") + as_json(f"{record.id}/{number}") + b":" + _safe(as_json(value))
                is_first = False


def _followups(journal: Journal, record: Record) -> Any:
    return [] if record.is_run else journal.followups.history(record.id)


def _safe(encoded: bytes) -> bytes:
    """JSON that ends no element of HTML: these characters stand in strings alone."""
    return encoded.replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"&", b"\\u0026")


def _inline(script: str) -> str:
    """The program, without a text that would end its element."""
    return re.sub(r"<(/script|!--)", r"<\\\1", script, flags=re.IGNORECASE)


def _policy(script: str, style: str) -> str:
    def digest(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {digest(script)}",
            f"style-src {digest(style)}",
            "img-src data: blob:",
            "media-src data: blob:",
            "connect-src 'none'",
            "form-action 'none'",
            "base-uri 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )
