"""A tree of runs as a drawing, for ``plsync show --tree``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from rich.cells import cell_len
from rich.text import Text

from plsync.cli import humanize
from plsync.cli.output import one_line
from plsync.journal import words
from plsync.journal.events.facts import short_model
from plsync.journal.tree import Run

__all__ = ["sums", "tree_page"]

_GAP: Final = "  "
# The longest text of an argument or an output.
_CONTENT: Final = 60
# Names beyond this width do not move the column of the durations.
_WIDEST: Final = 48


def tree_page(root: Run, chosen: str, width: int) -> Iterator[Text]:
    """A line for the tree, then one line for each run below its root.

    Args:
        root: the root of the tree.
        chosen: the id of the record that the user named; its line is marked.
        width: the greatest length of a line.
    """
    drawn = list(_drawn(root))
    names = max((cell_len(lead + _name(run)) for lead, run in drawn[1:]), default=0)
    column = min(names, _WIDEST)
    yield _cut(_head(root), width)
    for lead, run in drawn[1:]:
        name = _name(run)
        line = Text.assemble((lead, "dim"), (name, "bold" if run.id == chosen else ""))
        line.append(" " * max(0, column - cell_len(lead + name)) + _GAP)
        line.append(f"{humanize.duration(run.duration_ns):>8}")
        for fact in filter(None, _facts(run)):
            line.append(_GAP)
            line.append_text(fact)
        yield _cut(line, width)


def sums(root: Run) -> str:
    """The numbers of calls and tools of a tree, and its tokens: ``3 calls · 2 tools · 4,210 in, 312 out``."""
    tools = sum(run.kind == "tool" for run in root.walk())
    parts = [humanize.count(len(root.calls), "call")]
    if tools:
        parts.append(humanize.count(tools, "tool"))
    used = [usage for call in root.calls if (usage := call.usage) is not None]
    if used:
        sent, received = (sum(usage[key] for usage in used) for key in ("input_tokens", "output_tokens"))
        parts.append(f"{sent:,} in, {received:,} out")
    return " · ".join(parts)


def _head(root: Run) -> Text:
    cells = [
        Text(_name(root), style="bold"),
        humanize.result(root.record),
        Text(humanize.duration(root.duration_ns) or ("running" if root.status == "pending" else "")),
        Text(sums(root)),
        Text(f"trace {root.record.trace_id}", style="dim"),
        Text(f"started after the end of {after}" if (after := root.record.started_after) else "", style="dim"),
        humanize.delivery(root.record),
    ]
    return Text(_GAP).join(cell for cell in cells if cell.plain)


def _drawn(root: Run) -> Iterator[tuple[str, Run]]:
    """Each run with the lines of the drawing in front of it."""
    waiting = [(root, "", "")]
    while waiting:
        run, first, rest = waiting.pop()
        yield first, run
        last = len(run.children) - 1
        waiting.extend(
            (child, rest + ("└─ " if place == last else "├─ "), rest + ("   " if place == last else "│  "))
            for place, child in reversed(list(enumerate(run.children)))
        )


def _name(run: Run) -> str:
    name = one_line(run.name or run.kind).plain
    if run.kind == "tool":
        return f"Tool: {name}"
    if run.is_call and (model := run.record.model) and model != run.name:
        return f"{name} {one_line(short_model(model)).plain}"
    return name


def _facts(run: Run) -> Iterator[Text]:
    if words.result(run.record) != "ok":
        yield humanize.result(run.record)
    if run.is_call:
        if tokens := humanize.tokens(run.record):
            yield Text(tokens)
        if run.record.request_id is not None:
            yield Text(f"request {run.record.request_id}", style="dim")
    elif run.kind in ("tool", "retriever"):
        yield Text(" → ").join(
            one_line(_content(value), _CONTENT) for value in (run.input, run.output) if value is not None
        )
    elif run.status == "interrupted" and run.output is not None and run.parent is not None:
        yield one_line(_content(run.output), _CONTENT)
    error = run.record.error
    if error is not None:
        yield one_line(f"{error['type']}: {error['message']}", _CONTENT)


def _content(value: Any) -> str:
    from plsync.promptlayer.mapping.json_values import json_text  # noqa: PLC0415 - it takes orjson alone

    if isinstance(value, dict) and value.get("type") == "tool" and "content" in value:
        value = value["content"]
    if isinstance(value, list) and value and all(isinstance(item, dict) and "page_content" in item for item in value):
        return humanize.count(len(value), "document")
    return "" if value is None else json_text(value)


def _cut(line: Text, width: int) -> Text:
    line.truncate(width, overflow="ellipsis")
    return line
