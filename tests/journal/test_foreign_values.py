"""Values of libraries and of the standard library, by their plain form."""

from __future__ import annotations

import array
import collections
import datetime as dt
import decimal
import enum
import fractions
import http
import ipaddress
import math
import re
import types
import unittest.mock
import uuid
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import attrs
import httpx
import numpy as np
import orjson
import pytest
import uuid_utils
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydantic import PostgresDsn, SecretStr

from plsync._common.native import encode
from plsync.journal.events.tagged import decode, decode_plain
from tests.support.generated import VALUES


def plain(value: Any, *, redact: bool = False) -> Any:
    return decode_plain(encode({"value": value}, redact=redact)[0])["value"]


class Color(str, enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Scalar:
    """A number of an unknown library."""

    def __float__(self) -> float:
        return 0.5


class Label(collections.UserString):
    pass


class Row:
    def __index__(self) -> int:
        return 7


class Dumped:
    """Makes a dict of itself, as objects of many SDKs do."""

    def to_dict(self) -> dict[str, Any]:
        return {"a": np.int8(1)}


class Maker:
    """Its class method makes no dict of an object."""

    @classmethod
    def to_dict(cls) -> dict[str, Any]:
        return {"a": 1}


class Id:
    """An id of a database: ``Id('507f')``. Its text may be masked."""

    def __init__(self, text: str, shown: str | None = None) -> None:
        self.text, self.shown = text, text if shown is None else shown

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Id) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Id('{self.shown}')"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(5), 5),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.float32(0.5), 0.5),
        (np.float64(0.25), 0.25),
        (np.longdouble(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.datetime64("2026-01-02T03:04:05.000000006"), "2026-01-02T03:04:05.000000006"),
        (np.array(3), 3),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array([np.nan, 1.0]), [None, 1.0]),
        (PurePosixPath("/data/a.txt"), "/data/a.txt"),
        (PureWindowsPath("C:/data"), "C:\\data"),
        (Path("a.txt"), "a.txt"),
        (Color.RED, "red"),
        (Level.HIGH, 3),
        (http.HTTPStatus.NOT_FOUND, 404),
        (fractions.Fraction(1, 3), "1/3"),
        (decimal.Decimal("1.10"), "1.10"),
        (uuid_utils.UUID(int=5), str(uuid.UUID(int=5))),
        (ipaddress.ip_address("10.0.0.1"), "10.0.0.1"),
        (httpx.URL("https://example.org/x"), "https://example.org/x"),
        (Scalar(), 0.5),
        (Row(), 7),
        (collections.deque([1, (2,)]), [1, [2]]),
        (collections.ChainMap({"a": 1}), {"a": 1}),
        (collections.UserDict({"a": np.int64(1)}), {"a": 1}),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        (types.SimpleNamespace(a=1), {"a": 1}),
        (collections.UserString("abc"), "abc"),
        (Label("abc"), "abc"),
        (dt.timezone.utc, "UTC"),
        (re.compile("a+"), "a+"),
        ({"a": 1}.keys(), ["a"]),
        ({"a": 1}.values(), [1]),
        (range(3), [0, 1, 2]),
        (memoryview(b"ab"), "YWI="),
        (array.array("d", [0.5]), [0.5]),
        (attrs.make_class("Point", ["x", "y"])(1, np.int8(2)), {"x": 1, "y": 2}),
        ({np.int64(5): "five"}, {"5": "five"}),
        (Dumped(), {"a": 1}),
        (Id("507f"), "507f"),
        (Id("507f", shown="***"), "Id('***')"),
        (np.dtype("int32"), "int32"),
        (PostgresDsn("postgres://ann:hunter2@example.org/db"), "postgres://ann:hunter2@example.org/db"),
    ],
    ids=lambda value: f"{type(value).__name__}",
)
def test_a_value_with_a_plain_form_is_kept_by_it(value: Any, expected: Any) -> None:
    assert plain(value) == expected
    assert plain([value]) == [expected]


@pytest.mark.parametrize(
    "value",
    [np.int64(5), np.float32(0.5), np.bool_(False), Path("/a"), Color.RED, Level.HIGH, fractions.Fraction(1, 3), Row()],
    ids=lambda value: type(value).__name__,
)
def test_a_value_whose_plain_form_holds_all_of_it_is_not_lossy(value: Any) -> None:
    assert not encode({"value": value})[1]


@pytest.mark.parametrize(
    "value", [np.arange(3), collections.deque(), types.SimpleNamespace()], ids=lambda value: type(value).__name__
)
def test_a_value_of_parts_is_lossy(value: Any) -> None:
    assert encode({"value": value})[1]


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("numpy:int64", "np.int64(5)", 5),
        ("numpy:int64", "-5", -5),
        ("numpy:float32", "np.float32(0.5)", 0.5),
        ("numpy:float32", "np.float32(1e+30)", 1e30),
        ("numpy:bool", "np.True_", True),
        ("numpy:bool_", "False", False),
        ("numpy:ndarray", "array([1, 2])", "array([1, 2])"),
        ("numpy:float32", "np.float32(nan)", "np.float32(nan)"),
        ("pathlib:PosixPath", "PosixPath('/data/a.txt')", "/data/a.txt"),
        ("pathlib._local:PosixPath", "PosixPath('a (1).txt')", "a (1).txt"),
        ("app:Row", "np.int64(5)", "np.int64(5)"),
    ],
)
def test_a_repr_in_an_earlier_journal_is_read_as_its_value(kind: str, text: str, expected: Any) -> None:
    data = orjson.dumps({"row": {"$": "repr", "c": kind, "v": text}})
    assert decode_plain(data) == {"row": expected}


def test_a_class_method_makes_no_dict_of_an_object() -> None:
    assert plain(Maker()).startswith("<")


def test_a_message_of_protobuf_is_kept_by_its_fields() -> None:
    struct, timestamp = (pytest.importorskip(f"google.protobuf.{name}_pb2") for name in ("struct", "timestamp"))
    whole = struct.Struct()
    whole.update({"a": [1, "b"]})
    assert plain(timestamp.Timestamp(seconds=5)) == {"seconds": 5}
    assert plain(struct.Value(struct_value=whole))["struct_value"] == {"a": [1.0, "b"]}


def test_a_large_array_is_cut() -> None:
    found = plain(np.zeros((300, 300), dtype=np.float32))
    assert (found["dtype"], found["shape"], found["first"]) == ("float32", [300, 300], [0.0] * 1000)


def test_a_large_collection_is_cut() -> None:
    assert len(plain(range(10**12))) == 10_000


def test_an_array_of_objects_keeps_their_plain_forms() -> None:
    assert plain(np.array([Path("/a"), None], dtype=object)) == ["/a", None]


@pytest.mark.parametrize(
    "value", [SecretStr("hunter2"), {"inner": SecretStr("hunter2")}, collections.deque([SecretStr("hunter2")])]
)
@pytest.mark.parametrize("redact", [True, False])
def test_a_secret_is_replaced(value: Any, redact: bool) -> None:
    assert b"hunter2" not in encode({"value": value}, redact=redact)[0]
    assert b"[redacted]" in encode({"value": value}, redact=redact)[0]


def test_credentials_inside_plain_forms_are_replaced() -> None:
    values = {
        "headers": httpx.Headers({"Authorization": "Bearer hunter2", "x": "y"}),
        "space": types.SimpleNamespace(api_key="hunter2"),
        "url": httpx.URL("https://ann:hunter2@example.org/"),
        "database": PostgresDsn("postgres://ann:hunter2@example.org/db"),
        "id": Id("https://ann:hunter2@example.org/"),
    }
    assert b"hunter2" not in encode(values, redact=True)[0]
    assert plain(values, redact=True)["headers"]["x"] == "y"


class Hostile:
    """Has the protocols, and raises in each."""

    dtype = shape = property(lambda self: (_ for _ in ()).throw(KeyboardInterrupt("shape")))

    def __fspath__(self) -> str:
        raise SystemExit

    def __repr__(self) -> str:
        return "hostile"


class Endless(collections.abc.Sequence[Any]):
    def __len__(self) -> int:
        return 1 << 40

    def __getitem__(self, index: Any) -> Any:
        return self


@pytest.mark.parametrize(
    "value", [Hostile(), Endless(), unittest.mock.MagicMock()], ids=lambda value: type(value).__name__
)
def test_a_hostile_value_costs_only_itself(value: Any) -> None:
    data, lossy = encode({"value": value, "kept": 1})
    assert lossy
    assert orjson.loads(data)["kept"] == 1


def test_a_mock_is_no_number() -> None:
    assert plain(unittest.mock.MagicMock(name="m")).startswith("<MagicMock")


NUMBERS = st.one_of(
    arrays.from_dtype(np.dtype("int64")),
    arrays.from_dtype(np.dtype("uint8")),
    arrays.from_dtype(np.dtype("float64")),
    arrays.from_dtype(np.dtype("bool")),
)


@given(NUMBERS)
def test_every_number_of_numpy_equals_its_plain_form(value: Any) -> None:
    data, lossy = encode([value])
    assert not lossy
    (found,) = decode(data)
    assert found == value or (math.isnan(found) and math.isnan(value))


FOREIGN: st.SearchStrategy[Any] = st.deferred(
    lambda: st.one_of(
        VALUES,
        NUMBERS,
        arrays.arrays(np.float32, st.integers(0, 5)),
        st.builds(Path, st.text("abc/", max_size=5)),
        st.sampled_from([Color.RED, Level.HIGH, Scalar(), SecretStr("x"), Dumped(), Id("x"), dict, str, list[int]]),
        st.builds(collections.deque, st.lists(FOREIGN, max_size=2)),
        st.builds(lambda value: types.SimpleNamespace(a=value), FOREIGN),
        st.builds(lambda value: types.MappingProxyType({"a": value}), FOREIGN),
        st.lists(FOREIGN, max_size=2),
        st.dictionaries(st.text(max_size=3), FOREIGN, max_size=2),
        st.dates().map(lambda day: dt.datetime.combine(day, dt.time())),
    )
)


@given(FOREIGN, st.booleans())
def test_any_mixture_of_foreign_values_is_kept_as_json(value: Any, redact: bool) -> None:
    data, _ = encode({"value": value, "kept": 1}, redact=redact)
    found = decode_plain(data)
    assert found["kept"] == 1
    assert b'{"$":"repr"' not in data
    orjson.dumps(found)
    decode(data)
