"""What a journal stores comes back as it was."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest

from plsync import codec


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
def test_plain_gives_values_any_json_writer_takes(tagged: object, expected: object) -> None:
    assert codec.plain(tagged) == expected
    json.dumps(codec.plain(tagged), allow_nan=False).encode()


def test_plain_does_not_import_langchain() -> None:
    program = "import sys; from plsync import codec; codec.plain({'$': 'AIMessage', 'v': {}}); print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert "langchain_core" not in modules


def test_decode_knows_only_a_fixed_list_of_classes() -> None:
    assert codec.decode(b'{"$":"Popen","v":["true"]}') == {"$": "Popen", "v": ["true"]}


def test_decode_restores_what_json_lacks() -> None:
    assert math.isnan(codec.decode(b'{"$":"float","v":"nan"}'))
    assert codec.decode(b'{"$":"dict","v":[[{"$":"tuple","v":[1]},{"$":"bytes","v":"AAE="}]]}') == {(1,): b"\x00\x01"}
