"""Messages of any provider, drawn by hypothesis, and a comparison of two of them."""

from __future__ import annotations

import datetime as dt
from typing import Any

from hypothesis import strategies as st
from langchain_core import messages
from pydantic import BaseModel

from plsync.journal.events import tagged

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(2**80), max_value=2**80)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec=None))
    | st.binary()
    | st.binary().map(bytearray)
    | st.datetimes(timezones=st.none() | st.timezones() | st.just(dt.timezone.utc))
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.decimals(allow_nan=False)
)
KEYS = st.text() | st.just("$") | st.integers() | st.tuples(st.integers(), st.text(max_size=3)) | st.none()
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.frozensets(st.integers() | st.text(max_size=5), max_size=4)
        | st.sets(st.integers() | st.text(max_size=5), max_size=4)
    ),
    max_leaves=12,
)
FIELDS = st.dictionaries(st.text(min_size=1, max_size=8), VALUES, max_size=4)
NAMES = sorted(tagged.MESSAGES - {"BaseMessage", "BaseMessageChunk"})


@st.composite
def message(draw: st.DrawFn) -> Any:
    """A message of any class, its fields and extras filled past validation, as providers and caches do."""
    cls = getattr(messages, draw(st.sampled_from(NAMES)))
    made = cls.model_construct(
        content=draw(st.text() | st.lists(st.text() | FIELDS, max_size=3)),
        additional_kwargs=draw(FIELDS),
        response_metadata=draw(FIELDS),
        name=draw(st.none() | st.text()),
        id=draw(st.none() | st.text()),
    )
    for field in ("tool_calls", "usage_metadata", "artifact"):
        if field in cls.model_fields:
            object.__setattr__(made, "__dict__", {**made.__dict__, field: draw(VALUES)})
    extras = draw(FIELDS)
    object.__setattr__(made, "__pydantic_extra__", extras)
    return made


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, and of the same classes at every depth."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        pairs = zip(one.items(), other.items(), strict=True)
        return len(one) == len(other) and all(same(a, b) and same(x, y) for (a, x), (b, y) in pairs)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, BaseModel):
        return same(one.__dict__, other.__dict__) and same(one.__pydantic_extra__ or {}, other.__pydantic_extra__ or {})
    if isinstance(one, dt.datetime):
        return bool(one == other) and one.utcoffset() == other.utcoffset()
    return bool(one == other)
