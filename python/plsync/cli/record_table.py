"""Records as a table, for ``list`` and ``tail``.

The width goes to the input. A terminal gets no empty column. While the input has too little room, columns are dropped
or shortened in the order of :data:`_STEPS`. A pipe gets every column, and whole times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import islice
from typing import Final

from rich.text import Text

from plsync.cli import humanize
from plsync.cli.output import one_line
from plsync.journal.display.message_text import preview
from plsync.journal.events.facts import short_model
from plsync.journal.record import Record
from plsync.journal.short_ids import end_length, short_end

__all__ = ["Table", "tail_table"]

_GAP: Final = "  "
_INPUT: Final = "INPUT"
_STARTED: Final = "STARTED"
# The room that the input gets at least.
_LEAST_INPUT: Final = 30
# The first records decide the widths of a list. Later records are cut to these widths.
_MEASURED: Final = 1000
# Characters of a longer input that can show: at its beginning, and as many at its end.
_KEPT_INPUT: Final = 20_000
_NARROW_MODEL: Final = 12
_NARROWEST_MODEL: Final = 8
_LONG, _NO_YEAR, _NO_SECONDS = "%Y-%m-%d %H:%M:%S", "%m-%d %H:%M:%S", "%m-%d %H:%M"
_TODAY, _TODAY_NO_SECONDS = "%H:%M:%S", "%H:%M"

# The greatest width of a column, and its width in `tail`.
_WIDTHS: Final = {
    "ID": (36, 7),
    _STARTED: (19, 14),
    "MODEL": (24, 18),
    "RESULT": (21, 11),
    "DELIVERY": (24, 0),
    "TOOK": (12, 10),
    "TOKENS": (14, 12),
    "TAGS": (24, 16),
    _INPUT: (200, 200),
}


@dataclass(frozen=True, slots=True)
class _Layout:
    """The widths of the columns, and the forms of times: of other days, and of today."""

    widths: dict[str, int]
    times: str = _LONG
    today: str = _TODAY

    def without(self, name: str) -> _Layout:
        return replace(self, widths={column: width for column, width in self.widths.items() if column != name})

    def narrowed(self, name: str, width: int) -> _Layout:
        return replace(self, widths={**self.widths, name: min(width, self.widths[name])})

    def with_times(self, form: str) -> _Layout:
        return replace(self.narrowed(_STARTED, _time_width(form)), times=form)

    def without_seconds_of_today(self) -> _Layout:
        # Beside the date of another day the seconds of today take no room.
        if self.widths[_STARTED] > _time_width(_TODAY):
            return self
        return replace(self.narrowed(_STARTED, len(_STARTED)), today=_TODAY_NO_SECONDS)


def _time_width(form: str) -> int:
    return len(datetime(2000, 1, 1).strftime(form))


# The steps that make room for the input, one after the other.
_STEPS: Final[tuple[tuple[str, Callable[[_Layout], _Layout]], ...]] = (
    ("TAGS", lambda layout: layout.without("TAGS")),
    ("TOKENS", lambda layout: layout.without("TOKENS")),
    ("TOOK", lambda layout: layout.without("TOOK")),
    (_STARTED, lambda layout: layout.with_times(_NO_YEAR)),
    (_STARTED, lambda layout: layout.with_times(_NO_SECONDS)),
    ("MODEL", lambda layout: layout.narrowed("MODEL", _NARROW_MODEL)),
    (_STARTED, _Layout.without_seconds_of_today),
    ("MODEL", lambda layout: layout.narrowed("MODEL", _NARROWEST_MODEL)),
    (_STARTED, lambda layout: layout.without(_STARTED)),
    ("MODEL", lambda layout: layout.without("MODEL")),
    ("DELIVERY", lambda layout: layout.without("DELIVERY")),
    ("RESULT", lambda layout: layout.without("RESULT")),
)


@dataclass(frozen=True, slots=True)
class _Row:
    """The cells of a record, without its content: the content of a thousand records may not fit into memory."""

    id: str
    started: datetime
    input: str
    cells: dict[str, Text]

    @classmethod
    def of(cls, record: Record, columns: Iterable[str]) -> _Row:
        cells = {name: _CELLS[name](record) for name in columns if name in _CELLS}
        text = preview(record).strip()
        if len(text) > 2 * _KEPT_INPUT:
            text = f"{text[:_KEPT_INPUT]} {text[-_KEPT_INPUT:]}"
        record.drop_parsed()
        return cls(record.id, record.started_at.astimezone(), text, cells)


class Table:
    """The lines of a table. None is longer than the width."""

    def __init__(self, layout: _Layout, width: int, records: int, *, is_full: bool) -> None:
        """Use :meth:`lines_of` or :func:`tail_table`."""
        self._layout = layout
        self._width = width
        self._records = records
        self._is_full = is_full
        self._today = datetime.now().astimezone().date()

    @classmethod
    def lines_of(cls, records: Iterable[Record], width: int, total: int, *, is_full: bool) -> Iterator[Text]:
        """A heading, then one line per record, in columns that fit the first thousand records.

        Args:
            records: the records; read as the lines are.
            width: the greatest length of a line.
            total: the number of records in the journal, for their short ids.
            is_full: every column and whole times, as programs want them.
        """
        rest = iter(records)
        measured = [_Row.of(record, _WIDTHS) for record in islice(rest, _MEASURED)]
        table = cls(_Layout({}), width, total, is_full=is_full)
        table._layout = table._fitting(measured)
        yield table.heading()
        yield from map(table._line, measured)
        yield from map(table.line, rest)

    def heading(self) -> Text:
        """The names of the columns."""
        return self._joined([Text(name, style="bold") for name in self._layout.widths])

    def line(self, record: Record) -> Text:
        """The line of a record."""
        return self._line(_Row.of(record, self._layout.widths))

    def _line(self, row: _Row) -> Text:
        return self._joined([self._cell(name, row) for name in self._layout.widths])

    def _fitting(self, rows: Sequence[_Row]) -> _Layout:
        widths = {}
        for name, (widest, _) in _WIDTHS.items():
            cells = [self._cell(name, row).cell_len for row in rows]
            if any(cells) or self._is_full:
                widths[name] = min(widest, max([len(name), *cells]))
        layout = _Layout(widths)
        return layout if self._is_full else _narrowed(layout, self._width, min(_LEAST_INPUT, widths.get(_INPUT, 0)))

    def _cell(self, name: str, row: _Row) -> Text:
        if name == "ID":
            return Text(short_end(row.id, self._records), style="yellow")
        if name == _STARTED:
            return Text(self._time(row.started))
        if name == _INPUT:
            return one_line(row.input, self._input_width(), keep_end=True)
        return row.cells[name]

    def _input_width(self) -> int:
        others = [width for name, width in self._layout.widths.items() if name != _INPUT]
        return max(1, min(_WIDTHS[_INPUT][0], self._width - sum(others) - len(_GAP) * len(others)))

    def _time(self, at: datetime) -> str:
        return at.strftime(self._layout.today if self._is_today(at.date()) else self._layout.times)

    def _is_today(self, day: date) -> bool:
        return not self._is_full and day == self._today

    def _joined(self, cells: list[Text]) -> Text:
        for cell, (name, width) in zip(cells, self._layout.widths.items(), strict=True):
            # A cut id would name no record. Ids grow with the journal.
            cell.truncate(max(width, cell.cell_len) if name == "ID" else width, overflow="ellipsis", pad=True)
        line = Text(_GAP).join(cells)
        line.rstrip()
        line.truncate(self._width, overflow="ellipsis")
        return line


def tail_table(width: int, total: int, *, is_full: bool) -> Table:
    """A table whose columns depend on the width alone, so that lines of later records stand below each other.

    It has no delivery, which may have changed before a reader sees the line.
    """
    widths = {name: fixed for name, (_, fixed) in _WIDTHS.items() if fixed}
    layout = _Layout({**widths, "ID": end_length(total)}, _NO_YEAR)
    if not is_full:
        layout = _narrowed(layout, width, _LEAST_INPUT)
    return Table(layout, width, total, is_full=is_full)


def _narrowed(layout: _Layout, width: int, least: int) -> _Layout:
    """The layout with as many steps as the input needs for this room."""
    for name, step in _STEPS:
        taken = sum(layout.widths.values()) - layout.widths.get(_INPUT, 0) + len(_GAP) * (len(layout.widths) - 1)
        if width - taken >= least:
            break
        if name in layout.widths:
            layout = step(layout)
    return layout


def _step(record: Record) -> str:
    return " ".join(filter(None, (record.kind, record.name)))


_CELLS: Final[dict[str, Callable[[Record], Text]]] = {
    # The name of a step takes the place of a model.
    "MODEL": lambda record: one_line(_step(record) if record.is_run else short_model(record.model or "")),
    "RESULT": humanize.result,
    "DELIVERY": humanize.delivery,
    "TOOK": lambda record: Text(humanize.duration(record.duration_ns)),
    "TOKENS": lambda record: Text(humanize.tokens(record)),
    "TAGS": lambda record: one_line(", ".join(record.tags)),
}
