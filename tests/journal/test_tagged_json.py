"""Encoded values survive a round trip through a journal."""

from __future__ import annotations

import collections
import dataclasses
import enum
import json
import math
import subprocess
import sys
from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core import messages, outputs
from pydantic import BaseModel

from plsync.journal.events import tagged as codec
from plsync.journal.events.tagged import encode
from tests.support.generated import FIELDS, VALUES, message, same


@pytest.mark.parametrize(
    ("tagged", "expected"),
    [
        ({"$": "bytes", "v": "AAE="}, "AAE="),
        ({"$": "tuple", "v": [1, {"$": "tuple", "v": []}]}, [1, []]),
        ({"$": "float", "v": "nan"}, None),
        ({"$": "int", "v": "36893488147419103232"}, "36893488147419103232"),
        ({"$": "timedelta", "v": [1, 2, 500_000]}, 86402.5),
        ({"$": "datetime", "v": "2026-01-02T03:04:05", "tz": "Europe/Oslo"}, "2026-01-02T03:04:05"),
        ({"$": "str", "v": "YcOt7aCA"}, "a\u00ed\ufffd"),
        ({"$": "dict", "v": [["$", 1], [2, {"$": "float", "v": "inf"}]]}, {"$": 1, "2": None}),
        ({"$": "as", "c": "app:Mood", "v": "happy"}, "happy"),
        ({"$": "repr", "c": "app:Thing", "v": "<Thing>"}, "<Thing>"),
        ({"$": "AIMessage", "v": {"content": "hi"}, "x": {"mood": 1}}, {"content": "hi", "mood": 1}),
        ([{"a": [None, True, 1.5]}], [{"a": [None, True, 1.5]}]),
    ],
)
def test_plain_values_can_be_written_as_json(tagged: object, expected: object) -> None:
    assert codec.to_plain(tagged) == expected
    json.dumps(codec.to_plain(tagged), allow_nan=False).encode()


TAGS = (
    codec.MESSAGES
    | codec.OUTPUTS
    | set(["as", "bytes", "dict", "float", "int", "set", "str", "timedelta", "tuple", "uuid", "unknown"])
)

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.fixed_dictionaries({"$": st.sampled_from(sorted(TAGS)) | inner}, optional={"v": inner, "x": inner})
    ),
    max_leaves=15,
)


@given(anything)
def test_json_of_any_origin_has_a_plain_form(value: Any) -> None:
    json.dumps(codec.to_plain(value), allow_nan=False)


@given(anything, st.sampled_from([0, orjson.OPT_INDENT_2]))
def test_json_decodes_to_the_plain_form_of_its_parsed_value(value: Any, style: int) -> None:
    data = orjson.dumps(value, option=style)
    assert codec.decode_plain(data) == codec.to_plain(orjson.loads(data))


@given(st.lists(VALUES | message(), max_size=3))
def test_an_event_decodes_to_the_plain_form_of_its_parsed_value(value: Any) -> None:
    data, _ = encode(value)
    assert codec.decode_plain(data) == codec.to_plain(orjson.loads(data))


def test_bytes_that_are_not_json_have_no_plain_form() -> None:
    for data in (b"", b"{", b'{"$":"AIMessage","v":{}', b'{"$":"AIMessage","v":{]}}', b"\xff"):
        with pytest.raises(orjson.JSONDecodeError):
            codec.decode_plain(data)


def test_json_nested_deeper_than_handlers_write_is_cut() -> None:
    nested = orjson.loads(b'{"a":' * 900 + b"1" + b"}" * 900)
    assert orjson.dumps([[codec.to_plain(nested)]]).startswith(b'[[{"a":{"a":')


def test_to_plain_does_not_import_langchain() -> None:
    program = (
        "import sys; from plsync.journal.events import tagged; tagged.to_plain({'$': 'AIMessage', 'v': {}})\n"
        "print(*sys.modules)"
    )
    modules = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert "langchain_core" not in modules


def test_decode_knows_only_a_fixed_list_of_classes() -> None:
    assert codec.decode(b'{"$":"Popen","v":["true"]}') == {"$": "Popen", "v": ["true"]}


def test_decode_restores_values_that_json_lacks() -> None:
    assert math.isnan(codec.decode(b'{"$":"float","v":"nan"}'))
    assert codec.decode(b'{"$":"dict","v":[[{"$":"tuple","v":[1]},{"$":"bytes","v":"AAE="}]]}') == {(1,): b"\x00\x01"}


@given(VALUES)
def test_values_survive_a_round_trip(value: Any) -> None:
    data, lossy = encode(value)
    assert not lossy
    assert same(codec.decode(data), value)


@given(message())
def test_messages_survive_a_round_trip(value: Any) -> None:
    data, lossy = encode(value)
    assert not lossy
    assert same(codec.decode(data), value)


@given(message(), st.text(), st.none() | FIELDS, st.booleans())
def test_generations_survive_a_round_trip(value: Any, text: str, info: Any, is_chunk: bool) -> None:
    cls = outputs.ChatGenerationChunk if is_chunk else outputs.ChatGeneration
    generation = cls.model_construct(text=text, message=value, generation_info=info)
    data, lossy = encode([generation])
    assert not lossy
    assert same(codec.decode(data), [generation])


@given(VALUES | message())
def test_every_encoded_value_has_a_plain_form(value: Any) -> None:
    found = codec.to_plain(orjson.loads(encode(value)[0]))
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_text_of_a_generation_is_a_string() -> None:
    generation = outputs.ChatGeneration(message=messages.AIMessage("hi"))
    data, lossy = encode(generation)
    assert not lossy
    assert codec.decode(data) == generation


class Mood(enum.Enum):
    GOOD = "good"


@dataclasses.dataclass
class Point:
    x: int
    y: tuple[int, ...]


class Parsed(BaseModel):
    answer: int


class Loud(str):
    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


class OwnMessage(messages.HumanMessage):
    pass


class Pair(NamedTuple):
    a: int
    b: int


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Mood.GOOD, "good"),
        (Point(1, (2,)), {"x": 1, "y": (2,)}),
        (Parsed(answer=42), {"answer": 42}),
        (Loud("quiet"), "quiet"),
        (collections.OrderedDict(a=1), {"a": 1}),
        (Pair(1, 2), (1, 2)),
        (OwnMessage(content="hi"), messages.HumanMessage("hi")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_classes_are_kept_approximately_and_flagged(value: Any, expected: Any) -> None:
    data, lossy = encode({"value": [value]})
    assert lossy
    assert codec.decode(data) == {"value": [expected]}


def test_other_objects_are_kept_by_their_repr_cut_short() -> None:
    class Long:
        def __repr__(self) -> str:
            return "x" * 10_000

    data, lossy = encode(Long())
    assert lossy
    assert codec.decode(data) == "x" * 2000


def test_endless_nesting_is_cut() -> None:
    deep: Any = ()
    for _ in range(1000):
        deep = (deep, [])
    wide: Any = []
    for _ in range(100):
        wide = [wide, wide]
    for value in (deep, wide):
        data, lossy = encode(value)
        assert lossy
        codec.to_plain(orjson.loads(data))
