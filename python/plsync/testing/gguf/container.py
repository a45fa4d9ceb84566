"""The GGUF container, version 3, as llama.cpp reads it: typed key-value pairs, then float32 tensors.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["BOOL", "FLOAT32", "INT32", "STRING", "UINT32", "ArrayOf", "Matrix", "gguf_bytes", "ones"]

UINT32: Final = 4
INT32: Final = 5
FLOAT32: Final = 6
BOOL: Final = 7
STRING: Final = 8
_ARRAY: Final = 9
_PACK: Final = {UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?"}
_ALIGNMENT: Final = 32
_TENSOR_F32: Final = 0


@dataclass(frozen=True)
class ArrayOf:
    """The type of an array value: its items share one type."""

    item: int


@dataclass
class Matrix:
    """A float32 tensor of ``rows`` by ``cols``, initially zero; ``rows=None`` makes a vector."""

    rows: int | None
    cols: int
    data: array[float] = field(init=False)

    def __post_init__(self) -> None:
        self.data = array("f", bytes(4 * self.cols * (1 if self.rows is None else self.rows)))

    def __setitem__(self, at: tuple[int, int], value: float) -> None:
        row, col = at
        self.data[row * self.cols + col] = value

    @property
    def dimensions(self) -> tuple[int, ...]:
        """The shape as GGUF stores it: the fastest-varying dimension first."""
        return (self.cols,) if self.rows is None else (self.cols, self.rows)

    def to_bytes(self) -> bytes:
        """The values, little-endian, row by row."""
        data = self.data
        if sys.byteorder == "big":
            data = array("f", data)
            data.byteswap()
        return data.tobytes()


def ones(cols: int) -> Matrix:
    """A vector of ``cols`` ones."""
    vector = Matrix(None, cols)
    for col in range(cols):
        vector[0, col] = 1.0
    return vector


def gguf_bytes(pairs: Sequence[tuple[str, int | ArrayOf, Any]], tensors: Mapping[str, Matrix]) -> bytes:
    """Encode a GGUF file.

    Args:
        pairs: the metadata: key, type (one of this module's constants, or ``ArrayOf`` one of them) and value.
        tensors: the weights by name; each is stored as float32.

    Returns:
        The bytes of the file.
    """
    head = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs)))
    for key, kind, value in pairs:
        code = _ARRAY if isinstance(kind, ArrayOf) else kind
        head += _string(key) + struct.pack("<I", code) + _value(kind, value)
    body = bytearray()
    for name, tensor in tensors.items():
        shape = tensor.dimensions
        head += _string(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        head += struct.pack("<IQ", _TENSOR_F32, len(body))
        body += _padded(tensor.to_bytes())
    return _padded(bytes(head)) + bytes(body)


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(kind: int | ArrayOf, value: Any) -> bytes:
    if isinstance(kind, ArrayOf):
        return struct.pack("<IQ", kind.item, len(value)) + b"".join(_value(kind.item, item) for item in value)
    return _string(value) if kind == STRING else struct.pack(_PACK[kind], value)


def _padded(raw: bytes) -> bytes:
    return raw + b"\0" * (-len(raw) % _ALIGNMENT)
