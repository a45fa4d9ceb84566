"""The output of ``plsync rerun --compare``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from plsync.cli import humanize
from plsync.cli.output import escaped, one_line, print_json, print_lines, print_note, stdout_console
from plsync.errors import PlsyncError
from plsync.journal.journal import Journal

if TYPE_CHECKING:
    from plsync.journal.record import Record
    from plsync.rerun import Comparison, Judge, Original, Originals, Sums

__all__ = ["print_comparison"]

_HEADINGS = ("ID", "TOOLS", "JSON", "TEXT", "TOKENS OUT", "TIME")


def print_comparison(
    originals: Originals, into: Path, model: str | None, judge: Judge | None, *, as_json: bool
) -> None:
    """Print a comparison for each request, and the sums of each model.

    Args:
        originals: the recorded calls.
        into: the journal of the reruns.
        model: only reruns of this model, as ``PROVIDER:MODEL``.
        judge: the user's own measure.
        as_json: one JSON object a line: the comparisons, then the sums of each model under ``sums``.
    """
    from plsync.rerun import Sums, newest_rerun_ids  # noqa: PLC0415 - loads LangChain

    with Journal.open(into) as target:
        reruns = newest_rerun_ids(target, model)
        models = sorted({name for _, name in reruns})
        found: dict[str, list[Comparison]] = {name: [] for name in models}
        for original in originals:
            for name in models:
                if (record_id := reruns.get((original.id, name))) is not None:
                    found[name].append(_compared(original, target.get(record_id), name, judge))
                    if as_json:
                        print_json(found[name][-1].as_dict())
        if as_json:
            for name, comparisons in found.items():
                print_json({"model": name, "sums": Sums.of(comparisons).as_dict()})
            return
        if not any(found.values()):
            print_note(f"{into} has no rerun of these requests: plsync rerun --model PROVIDER:MODEL --into {into}")
        for name, comparisons in found.items():
            _print_model(name, comparisons, Sums.of(comparisons))


def _compared(original: Original, record: Record, model: str, judge: Judge | None) -> Comparison:
    from plsync.rerun import compare  # noqa: PLC0415 - loads LangChain

    try:
        return compare(original, record, model, judge)
    except Exception as error:
        raise PlsyncError(
            f"the judge failed for {original.id} ({type(error).__name__}: {error}); all answers are kept: correct the "
            "function and compare again"
        ) from error


def _print_model(model: str, comparisons: list[Comparison], sums: Sums) -> None:
    if not comparisons:
        return
    has_judge = any(item.judgement is not None for item in comparisons)
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, title=escaped(model, "bold"), title_justify="left"
    )
    for heading in (*_HEADINGS, *(["JUDGE"] if has_judge else [])):
        table.add_column(heading, justify="left" if heading == "ID" else "right", no_wrap=True)
    for item in comparisons:
        cells = [escaped(item.original[:18]), *_cells(item)]
        table.add_row(*cells, *([one_line(_judged(item.judgement), 20)] if has_judge else []))
    console = stdout_console()
    console.print(table)
    failed = [item for item in comparisons if item.errors != (None, None)]
    for item in failed[:5]:
        whose, reason = ("the recorded call", item.errors[0]) if item.errors[0] else ("the rerun", item.errors[1])
        console.print(one_line(f"{item.original[:18]}: {whose} has no answer: {reason}", console.width), style="red")
    print_lines(console, _sums(sums))


def _cells(item: Comparison) -> Iterator[Text]:
    if item.errors != (None, None):
        yield from (escaped("no answer", "red"), escaped(""), escaped(""))
    else:
        yield _agreed(item.tools)
        yield _agreed(item.structured)
        yield escaped("" if item.text is None else f"{item.text:.0%}")
    yield escaped(_change(*("?" if value is None else f"{value:,}" for value in item.output_tokens)))
    yield escaped(_change(*map(_duration, item.seconds)))


def _agreed(same: bool | None) -> Text:
    return escaped("") if same is None else escaped("same", "green") if same else escaped("other", "yellow")


def _change(recorded: str, rerun: str) -> str:
    return f"{recorded} → {rerun}"


def _duration(seconds: float | None) -> str:
    return "?" if seconds is None else humanize.duration(round(seconds * 1e9))


def _judged(value: Any) -> str:
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def _sums(sums: Sums) -> Iterator[Text]:
    parts = [f"{humanize.count(sums.compared, 'request')} compared"]
    if sums.tools[1]:
        parts.append(f"same tool calls in {sums.tools[0]:,} of {sums.tools[1]:,}")
    if sums.structured[1]:
        parts.append(f"same structured output in {sums.structured[0]:,} of {sums.structured[1]:,}")
    if sums.text is not None:
        parts.append(f"texts {sums.text:.0%} similar")
    if any(sums.output_tokens):
        parts.append(f"tokens in {_change(*map('{:,}'.format, sums.input_tokens))}")
        parts.append(f"out {_change(*map('{:,}'.format, sums.output_tokens))}")
    if None not in sums.seconds:
        parts.append(f"median time {_change(*map(_duration, sums.seconds))}")
    if sums.judgement is not None:
        parts.append(f"judge {sums.judgement:.3g}")
    if sums.failed:
        parts.append(f"{sums.failed:,} without an answer")
    yield escaped(f"{'; '.join(parts)}.")
