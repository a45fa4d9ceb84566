"""A run's tree as a timeline."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from plsync.journal import words
from plsync.journal.record import Record
from plsync.journal.tree import Run
from plsync.ui.answers import answer
from plsync.ui.requests import Context
from plsync.ui.rows import Rows, us
from plsync.ui.values import preview_of

__all__ = ["tree", "tree_of"]

_MOST_RUNS: Final = 5000


def tree(request: Request) -> Response:
    """``GET /api/calls/{id}/tree``: the tree that a record belongs to."""
    context = Context(request, filters=False)
    return answer(tree_of(context.journal.tree(context.record().id), context.rows))


def tree_of(root: Run, rows: Rows) -> dict[str, Any]:
    """A tree, JSON-able: its runs, every parent before its children.

    Args:
        root: the root of the tree.
        rows: makes the facts of runs.
    """
    runs: list[dict[str, Any]] = []
    depths = {root.id: 0}
    start, number = root.record.started_ns, 0
    for run in root.walk():
        number += 1
        if run.parent is not None:
            depths[run.id] = depths[run.parent.id] + 1
        if number <= _MOST_RUNS:
            runs.append(_run(run, rows, start, depths[run.id]))
    return {
        "root_id": root.id,
        "name": root.name,
        "started_ms": start // 1_000_000,
        "took_us": us(root.duration_ns),
        "runs": runs,
        "count": number,
        "truncated": number > len(runs),
    }


def _run(run: Run, rows: Rows, start: int, depth: int) -> dict[str, Any]:
    record: Record = run.record
    facts = rows.row(record)
    kept = (
        *("id", "kind", "name", "model", "provider", "result", "status_code", "error", "error_message", "took_us"),
        *("first_token_us", "tokens", "cost", "delivery", "request_id", "input", "output", "marks"),
    )
    own: dict[str, Any] = {name: facts[name] for name in kept}
    if run.is_call or rows.hide:
        values: dict[str, Any] = {}
    else:
        values = {"input": preview_of(run.input), "output": preview_of(run.output)}
    return {
        **own,
        **values,
        "parent_id": None if run.parent is None else run.parent.id,
        "depth": depth,
        "is_call": run.is_call,
        "offset_us": (record.started_ns - start) // 1000,
        "tool_call_id": run.tool_call_id,
        "is_open": words.result(record) == "running",
    }
