"""The limits of filling in a template: the work, the size of formats, and the kinds of values that it reaches."""

from __future__ import annotations

import datetime
import re
import string
from collections import deque
from collections.abc import ItemsView, KeysView, Mapping, Sequence, ValuesView
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from plsync.errors import PromptError

__all__ = ["LARGEST_NUMBER", "STEP", "Budget", "check_format", "fill_in", "plain_value"]

# Units of work: one for each character of a text that a step reads or makes, and STEP for anything else.
_WORK: Final = 10_000_000
STEP: Final = 10
# Widths and precisions, which a format such as `{x:>2000000000}` turns into memory.
LARGEST_NUMBER: Final = 1000
_MAX_DEPTH: Final = 100

_NUMBERS: Final = (int, float, Decimal)
# Their formats are of use in f-strings, and format() is all that an f-string can call.
_FORMATTED: Final = frozenset(
    {Decimal, Fraction, complex, datetime.date, datetime.datetime, datetime.time, datetime.timedelta}
)
_LISTS: Final = (list, tuple, set, frozenset, deque, range, KeysView, ValuesView, ItemsView)


class Budget:
    """The work that is left for filling in one template."""

    def __init__(self, work: int = _WORK) -> None:
        self._left = work

    def spend(self, work: int) -> None:
        """Take work from the budget.

        Raises:
            PromptError: none is left.
        """
        self._left -= max(work, 0)
        if self._left < 0:
            raise PromptError(
                f"the prompt template takes more than {_WORK:,} steps and characters; it was not filled in: "
                "shorten its loops, or the values of its variables"
            )

    def size(self, value: Any) -> int:
        """Spend the size of a value, and return it: the characters of its texts, and the work of its items."""
        if isinstance(value, str):
            size = STEP + len(value)
        elif isinstance(value, range):
            size = STEP * len(value)
        elif isinstance(value, int):
            size = STEP + value.bit_length() // 3
        elif isinstance(value, Mapping):
            self.spend(STEP)
            return STEP + sum(self.size(key) + self.size(item) for key, item in value.items())
        elif isinstance(value, (list, tuple)):
            self.spend(STEP)
            return STEP + sum(map(self.size, value))
        else:
            size = STEP
        self.spend(size)
        return size


def plain_value(value: Any, budget: Budget, depth: int = 0) -> Any:
    """The value as a template may reach it: text, number, bool, None, or lists and dicts of them.

    Any other object becomes its text, so that a template reaches no attribute and no method of it.
    """
    if value is None or type(value) in {str, bool, int, float, Decimal}:
        return value
    if isinstance(value, (str, *_NUMBERS)):
        return _plain_key(value)
    if isinstance(value, (Mapping, *_LISTS)):
        budget.spend(STEP * len(value))
        if depth == _MAX_DEPTH:
            raise PromptError(f"a variable of the prompt template is nested more than {_MAX_DEPTH} deep")
        if isinstance(value, Mapping):
            return {_plain_key(key): plain_value(item, budget, depth + 1) for key, item in value.items()}
        return [plain_value(item, budget, depth + 1) for item in value]
    return str(value)


def _plain_key(key: Any) -> Any:
    """The key or leaf without the class of the program: a subclass may have any methods."""
    if key is None or isinstance(key, bool):
        return key
    if isinstance(key, str):
        return str.__str__(key)
    kind = next((kind for kind in _NUMBERS if isinstance(key, kind)), str)
    return kind(key)


def check_format(template: str) -> None:
    """Check that an f-string has only names of variables, and formats of a limited size.

    Raises:
        ValueError: it has an attribute, an index, a format inside a format, or a width above 1,000.
    """
    for _, name, spec, conversion in string.Formatter().parse(template):
        if name is None:
            continue
        if conversion not in {None, *_CONVERSIONS}:
            raise ValueError(f"the conversion {conversion!r} is unknown")
        if re.search(r"[.\[\]!{}]", name):
            raise ValueError(f"{name!r} is not the name of a variable")
        _check_spec(spec or "")


def _check_spec(spec: str) -> None:
    if "{" in spec or "}" in spec:
        raise ValueError(f"the format {spec!r} holds a variable")
    if any(len(number) > 4 or int(number) > LARGEST_NUMBER for number in re.findall(r"[0-9]+", spec)):
        raise ValueError(f"the format {spec[:40]!r} has a width or precision above {LARGEST_NUMBER}")


def fill_in(template: str, positional: Sequence[Any], variables: Mapping[str, Any], budget: Budget) -> str:
    """Fill in an f-string, as ``str.format`` does.

    Args:
        template: a text that passed :func:`check_format`.
        positional: the values of fields without a name, and of numbers.
        variables: the values by name.
        budget: the work that is left.

    Raises:
        KeyError: a variable is missing.
        PromptError: the text would be too long.
    """
    pieces: list[str] = []
    unnamed = 0
    for literal, name, spec, conversion in string.Formatter().parse(template):
        pieces.append(literal)
        budget.spend(len(literal) + STEP)
        if name is None:
            continue
        if name == "":
            value, unnamed = positional[unnamed], unnamed + 1
        else:
            value = positional[int(name)] if name.isdecimal() and positional else variables[name]
        if type(value) not in _FORMATTED:
            value = plain_value(value, budget)
        if conversion is not None:
            value = _CONVERSIONS[conversion](value)
        text = format(value, spec or "")
        budget.spend(len(text))
        pieces.append(text)
    return "".join(pieces)


_CONVERSIONS: Final[Mapping[str, Any]] = {"s": str, "r": repr, "a": ascii}
