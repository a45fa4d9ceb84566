"""The compact form of an embedding: base64 of its numbers, as 32-bit floats where that is exact.

A vector has hundreds of numbers, which people do not read in a diff. Each number keeps its value and its type.
Integers, and the types and arrays of numpy, come back as such.
"""

from __future__ import annotations

import base64
import math
import sys
from array import array
from collections.abc import Callable, Mapping
from typing import Any, Final

from plsync._common.large_json import loads
from plsync.journal.events.tagged import TAG, encode

__all__ = ["VECTOR_TAGS", "container_of", "in_container", "pack_vector", "unpack_vector"]

# Tags and the type codes of ``array``, the smaller one first.
_CODES: Final = {"f32": "f", "f64": "d"}
VECTOR_TAGS: Final = frozenset(_CODES)
"""The tags of packed vectors."""

# A shorter list is readable.
_FEWEST: Final = 4
# Beyond this a 64-bit float does not hold every integer.
_LARGEST_INT: Final = 1 << 53
_NUMPY_TYPES: Final = frozenset(
    {"float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"}
)


def pack_vector(vector: Any) -> Any:
    """A vector as JSON.

    Args:
        vector: a list, a tuple or an array of numbers. A value of another form becomes tagged JSON.

    >>> pack_vector([0.5, 1.0, 2.0, 4.0])
    {'$': 'f32', 'v': 'AAAAPwAAgD8AAABAAACAQA=='}
    """
    if isinstance(vector, list):
        return _packed_list(vector)
    dtype = str(getattr(vector, "dtype", ""))
    if type(vector).__module__ == "numpy" and getattr(vector, "ndim", 0) == 1 and dtype in _NUMPY_TYPES:
        packed = _packed_numbers(vector.tolist())
        if packed is not None:
            return {**packed, "numpy": dtype, "array": True}
    if hasattr(vector, "tolist") and type(vector).__module__.partition(".")[0] in {"torch", "jax", "jaxlib"}:
        return pack_vector(vector.tolist())
    return loads(encode(vector)[0])


def _packed_list(vector: list[Any]) -> Any:
    if vector and all(isinstance(item, (list, tuple)) for item in vector):  # one vector for each token of a text
        return [pack_vector(item) for item in vector]
    kinds = set(map(type, vector))
    if kinds <= {float, int}:
        packed = _packed_numbers(vector) if len(vector) >= _FEWEST else None
        return loads(encode(vector)[0]) if packed is None else packed
    names = {kind.__name__ for kind in kinds if kind.__module__ == "numpy"}
    if len(kinds) == len(names) == 1 and names <= _NUMPY_TYPES:
        packed = _packed_numbers([item.item() for item in vector])
        if packed is not None:
            return {**packed, "numpy": names.pop()}
    return loads(encode(vector)[0])


def _packed_numbers(numbers: list[Any]) -> dict[str, Any] | None:
    """Numbers as base64; ``None`` for integers that a float does not hold."""
    ints = [index for index, number in enumerate(numbers) if type(number) is int] if int in map(type, numbers) else []
    if any(abs(numbers[index]) > _LARGEST_INT for index in ints):
        return None
    exact = array("d", numbers)
    small = array("f", numbers)
    # Bytes, because neither NaN nor -0.0 can be compared.
    is_small = array("d", small).tobytes() == exact.tobytes()
    tag, values = ("f32", small) if is_small else ("f64", exact)
    packed: dict[str, Any] = {TAG: tag, "v": base64.b64encode(_little_endian(values).tobytes()).decode()}
    if ints:
        packed["ints"] = True if len(ints) == len(numbers) else ints
    return packed


def unpack_vector(value: Mapping[str, Any], restore: Callable[[Any], Any]) -> Any:
    """The vector of a tag in ``VECTOR_TAGS``.

    Args:
        value: a result of ``pack_vector``, whose base64 may have moved into a file.
        restore: restores the base64.

    Raises:
        ValueError: the value is malformed.
    """
    values: array[float] = array(_CODES[value[TAG]])
    values.frombytes(base64.b64decode(restore(value["v"]), validate=True))
    numbers: list[Any] = _little_endian(values).tolist()
    ints = value.get("ints")
    for index in range(len(numbers)) if ints is True else ints or ():
        if math.isfinite(numbers[index]):
            numbers[index] = int(numbers[index])
    return _as_numpy(numbers, value) if "numpy" in value else numbers


def _as_numpy(numbers: list[Any], value: Mapping[str, Any]) -> Any:
    """Numbers as numpy's: a program may use methods that lists and floats lack. Without numpy, the plain numbers."""
    dtype = value["numpy"]
    if dtype not in _NUMPY_TYPES:
        raise ValueError(f"{dtype!r} is not a type of numpy's numbers")
    try:
        import numpy as np  # noqa: PLC0415 - only a model that returned its types needs it
    except ImportError:
        return numbers
    restored = np.array(numbers, dtype=dtype)
    return restored if value.get("array") is True else list(restored)


def _little_endian(values: array[float]) -> array[float]:
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values


def container_of(vectors: Any) -> str | None:
    """The name of the container of several vectors that is not a list; ``None`` for a list and for an iterator."""
    if type(vectors) is tuple:
        return "tuple"
    return "array" if type(vectors).__module__ == "numpy" and getattr(vectors, "ndim", 0) == 2 else None


def in_container(vectors: list[Any], container: str | None) -> Any:
    """Vectors in the container that ``container_of`` names."""
    if container == "tuple":
        return tuple(vectors)
    if container == "array":
        try:
            import numpy as np  # noqa: PLC0415 - only a model that returned its types needs it
        except ImportError:
            return vectors
        return np.array(vectors)
    return vectors
