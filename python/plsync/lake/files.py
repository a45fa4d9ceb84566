"""Writes one Parquet file of a lake. A reader sees the whole file or no file.

Rows become Arrow batches in one thread, and a second thread compresses the batches.
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from plsync._common.files import create_new, temporary_beside
from plsync._common.native import LakeColumns
from plsync.errors import ExportError
from plsync.genai.columns import COLUMNS
from plsync.lake.schema import DICTIONARY

if TYPE_CHECKING:
    import pyarrow

    from plsync.journal.record import Record
    from plsync.lake.rows import Row

__all__ = [
    "GROUP_BYTES",
    "Compressor",
    "EarlierRows",
    "LakeFile",
    "batch_of",
    "file_mode",
    "make_day",
    "make_directory",
    "record_ids",
    "remove_leftovers",
]

# The rows of a row group in memory: few enough for the memory, and enough for the dictionary of a column.
_GROUP_ROWS: Final = 10_000
GROUP_BYTES: Final = 8 << 20
_WAITING: Final = 1
_READ_ROWS: Final = 500
_STATISTICS: Final = [name for name, kind in COLUMNS.items() if kind in ("int", "time")] + [
    "model",
    "provider",
    "state",
]


class Compressor:
    """A thread that compresses batches, a few of which may wait."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "plsync-lake")
        self._waiting: deque[Future[None]] = deque()

    def submit(self, write: Callable[[], None]) -> None:
        """Run ``write`` in the thread, after the earlier ones.

        Raises:
            OSError: an earlier write failed.
        """
        while len(self._waiting) >= _WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(write))

    def drain(self) -> None:
        """Wait for every write.

        Raises:
            OSError: a write failed.
        """
        while self._waiting:
            self._waiting.popleft().result()

    def close(self) -> None:
        """End the thread. Writes that wait are cancelled."""
        self._waiting.clear()
        self._thread.shutdown(cancel_futures=True)


class LakeFile:
    """One file while it is written, under another name.

    Args:
        path: its final path.
        schema: the schema of its rows.
        columns: the rows that no batch has yet; none at first.
        mode: its permissions.
        compressor: the thread that compresses.
    """

    def __init__(
        self, path: Path, schema: pyarrow.Schema, columns: LakeColumns, mode: int, compressor: Compressor
    ) -> None:
        from pyarrow import parquet  # noqa: PLC0415 - an extra

        self.path = path
        self.rows = 0
        self._schema = schema
        self._compressor = compressor
        self._columns = columns
        self._temporary = temporary_beside(path)
        descriptor = create_new(self._temporary)
        self._file = os.fdopen(descriptor, "wb")
        self._writer = None
        try:
            if hasattr(os, "fchmod"):
                os.fchmod(descriptor, mode)
            self._writer = parquet.ParquetWriter(
                self._file,
                schema,
                compression="zstd",
                use_dictionary=list(DICTIONARY),
                write_statistics=_STATISTICS,
            )
        except BaseException:
            self.discard()
            raise

    def add(self, row: Row) -> None:
        """Add a row that Python made."""
        self._columns.add_row(row)
        self._added()

    def add_record(self, record: Record) -> bool:
        """Add the row of a record, if the native mapping knows its form. Returns whether it does."""
        known = self._columns.add_record(record.stored_row())
        if known:
            self._added()
        return known

    def _added(self) -> None:
        self.rows += 1
        if len(self._columns) >= _GROUP_ROWS:
            self.flush()

    def flush(self) -> None:
        """Let the compressor write the rows of now as one row group.

        Raises:
            OSError: an earlier write failed.
        """
        if len(self._columns) and self._writer is not None:
            batch = batch_of(self._columns, self._schema)
            self._compressor.submit(functools.partial(self._writer.write_batch, batch, row_group_size=_GROUP_ROWS))

    def finish(self) -> int:
        """Write the file under its name, durably. Returns its bytes.

        Raises:
            OSError: the disk is full or fails. The file of that name, if there was one, is unchanged.
        """
        self.flush()
        self._compressor.drain()
        if self._writer is not None:
            self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        size = os.fstat(self._file.fileno()).st_size
        self._file.close()
        os.replace(self._temporary, self.path)
        _sync(self.path.parent)
        return size

    def discard(self) -> None:
        """Remove the unfinished file. The compressor is closed."""
        # The writer, which is dropped, would write the end of the file.
        with contextlib.suppress(OSError):
            self._temporary.unlink()
        with contextlib.suppress(Exception):
            if self._writer is not None:
                self._writer.close()
        with contextlib.suppress(OSError):
            self._file.close()


def batch_of(columns: LakeColumns, schema: pyarrow.Schema) -> pyarrow.RecordBatch:
    """The rows of the columns as Arrow's batch. The columns have no row afterwards."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    rows = len(columns)
    found = zip(schema, COLUMNS.values(), columns.take(), strict=True)
    arrays = [_array(field.type, kind, rows, parts) for field, kind, parts in found]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(type_: Any, kind: str, rows: int, parts: tuple[Any, ...]) -> pyarrow.Array:
    import pyarrow as pa  # noqa: PLC0415 - an extra

    if kind == "texts":
        valid, ends, items = parts
        return pa.Array.from_buffers(type_, rows, _buffers(valid, ends), children=[_texts(*items)])
    if kind == "map":
        valid, ends, keys, values = parts
        entries = pa.StructArray.from_arrays(
            [_texts(*keys), _texts(*values)], fields=[type_.key_field, type_.item_field]
        )
        return pa.Array.from_buffers(type_, rows, _buffers(valid, ends), children=[entries])
    return pa.Array.from_buffers(type_, rows, _buffers(*parts))


def _texts(length: int, parts: tuple[Any, ...]) -> pyarrow.Array:
    import pyarrow as pa  # noqa: PLC0415 - an extra

    return pa.Array.from_buffers(pa.string(), length, _buffers(*parts))


def _buffers(*parts: bytes | None) -> list[Any]:
    import pyarrow as pa  # noqa: PLC0415 - an extra

    return [None if part is None else pa.py_buffer(part) for part in parts]


class EarlierRows:
    """The rows of an earlier version of a file, read while the new version is written.

    Args:
        path: the file. A missing or unreadable file has no rows.
    """

    def __init__(self, path: Path) -> None:
        self._rows = _rows(path)
        self._next = next(self._rows, None)

    def find(self, record_id: str) -> dict[str, Any] | None:
        """The row of a record, by column. Records must come in the order of their ids."""
        while self._next is not None and self._next["record_id"] < record_id:
            self._next = next(self._rows, None)
        return self._next if self._next is not None and self._next["record_id"] == record_id else None


def record_ids(path: Path) -> set[str]:
    """The ids of the records in a file; empty for a missing or unreadable file."""
    import pyarrow  # noqa: PLC0415 - an extra
    from pyarrow import parquet  # noqa: PLC0415

    try:
        return set(parquet.read_table(path, columns=["record_id"], partitioning=None)["record_id"].to_pylist())
    except (FileNotFoundError, pyarrow.ArrowInvalid):
        return set()


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow  # noqa: PLC0415 - an extra
    from pyarrow import parquet  # noqa: PLC0415

    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_READ_ROWS):
                columns = [_as_numbers(column) for column in batch.columns]
                rows = pyarrow.RecordBatch.from_arrays(columns, names=batch.schema.names)
                yield from rows.to_pylist(maps_as_pydicts="lossy")
    except (FileNotFoundError, pyarrow.ArrowInvalid):
        return


def _as_numbers(column: pyarrow.Array) -> pyarrow.Array:
    """The column; times as µs since the epoch."""
    import pyarrow  # noqa: PLC0415 - an extra

    return column.cast(pyarrow.int64()) if pyarrow.types.is_timestamp(column.type) else column


def make_directory(path: Path) -> None:
    """Make a directory that only this user may read, unless it exists.

    Raises:
        ExportError: the path is a file, or the directory cannot be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        raise ExportError(f"{path} is a file, and nothing was written: choose a directory") from None
    except OSError as error:
        raise ExportError(f"{path} cannot be made ({error.strerror}); nothing was written") from error


def make_day(path: Path) -> None:
    """Make the directory of a day, with the permissions of the lake."""
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
        path.chmod(stat.S_IMODE(path.parent.stat().st_mode))
        # The cursor must not survive a power cut that its files do not.
        _sync(path.parent)


def file_mode(directory: Path) -> int:
    """The permissions of new files: the permissions of the directory, without the right to execute."""
    return stat.S_IMODE(directory.stat().st_mode) & 0o666 | 0o600


def remove_leftovers(directory: Path, journal_id: str) -> None:
    """Remove the unfinished files that a crash left. The caller holds the lock of the journal."""
    for path in directory.glob(f"date=*/.{journal_id}-*"):
        with contextlib.suppress(OSError):
            path.unlink()


def _sync(directory: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
