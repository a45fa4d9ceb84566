"""Classes, functions and tools among the settings of a call: kept by their JSON schema."""

from __future__ import annotations

import dataclasses
import enum
import functools
import gc
import warnings
import weakref
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, Optional, TypedDict, Union

import attrs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import BaseTool, InjectedToolArg, StructuredTool, Tool, tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_openai import AzureChatOpenAI, ChatOpenAI
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import TypeAliasType
from typing_extensions import TypedDict as ExtendedTypedDict

from plsync import Journal, PromptLayerCallbackHandler
from plsync._common.native import encode
from plsync.journal.events.tagged import decode, decode_plain
from tests.support.openai_server import OpenAIServer
from tests.support.request_log import LoggedCall


class Person(BaseModel):
    """A person."""

    name: str = Field(description="The full name.")
    age: Optional[int] = None  # noqa: UP045


class City(BaseModel):
    name: str


class Team(BaseModel):
    lead: Person
    members: list[Person] = []


class Address(TypedDict):
    """An address."""

    street: Annotated[str, ..., "The street and the number."]
    person: Person


class Nested(TypedDict, total=False):
    home: Address
    others: list[Address]
    parent: "Nested"  # noqa: UP037


class Extended(ExtendedTypedDict):
    street: str


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.0


@pydantic_dataclass
class Checked:
    x: int


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


def add(a: int, b: int = 2) -> int:
    """Adds two numbers."""
    return a + b


@tool
def multiply(a: int, b: int) -> int:
    """Multiplies two numbers."""
    return a * b


class Node(BaseModel):
    children: list["Node"] = []  # noqa: UP037


def kept(value: Any) -> Any:
    """The plain form of a value in the settings of a call, which is not lossy."""
    data, lossy = encode({"value": value}, redact=True)
    assert not lossy
    return decode_plain(data)["value"]


def test_a_class_is_kept_by_its_schema() -> None:
    assert kept(Person) == Person.model_json_schema()
    assert decode(encode([Person])[0]) == [Person.model_json_schema()]
    assert orjson.loads(encode(Person)[0])["c"] == f"{__name__}:Person"


@pytest.mark.parametrize("value", [Team, Node, Point, Checked, Mood, Extended], ids=lambda value: value.__name__)
def test_every_kind_of_class_of_data_has_a_schema(value: Any) -> None:
    schema = kept(value)
    assert {"properties", "enum", "$ref", "$defs"} & schema.keys()


def test_a_typed_dict_has_its_descriptions() -> None:
    schema = kept(Address)
    assert schema["description"] == "An address."
    assert schema["properties"]["street"]["description"] == "The street and the number."
    assert schema["required"] == ["street", "person"]
    assert set(kept(Nested)["properties"]) == {"home", "others", "parent"}


def test_a_class_of_pydantic_1_has_its_schema() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        v1 = pytest.importorskip("pydantic.v1")
        old = type("Old", (v1.BaseModel,), {"__annotations__": {"name": str}})
    assert kept(old) == old.schema()  # type: ignore[attr-defined]
    assert decode_plain(encode({"value": old(name="Ann")})[0])["value"] == {"name": "Ann"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (str, {"type": "string"}),
        (list[int], {"items": {"type": "integer"}, "type": "array"}),
        (Literal["a", "b"], {"enum": ["a", "b"], "type": "string"}),
        (Annotated[int, Field(gt=1)], {"exclusiveMinimum": 1, "type": "integer"}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (Union[int, str], {"anyOf": [{"type": "integer"}, {"type": "string"}]}),  # noqa: UP007
    ],
    ids=str,
)
def test_a_type_has_its_schema(value: Any, expected: Any) -> None:
    assert kept(value) == expected


def test_functions_and_tools_have_the_form_of_a_tool() -> None:
    for value, name, description in (
        (add, "add", "Adds two numbers."),
        (multiply, "multiply", "Multiplies two numbers."),
    ):
        for _ in range(2):
            found = kept([value])[0]
            assert found["type"] == "function"
            assert (found["function"]["name"], found["function"]["description"]) == (name, description)
            assert found["function"]["parameters"]["properties"]["a"]["type"] == "integer"


class Search(BaseTool):
    name: str = "search"
    description: str = "Searches."

    def _run(self, query: str, run_manager: Any = None) -> str:
        return query


@tool
def injected(a: int, state: Annotated[str, InjectedToolArg]) -> str:
    """Has an argument that no model passes."""
    return f"{a}{state}"


TOOLS = {
    "decorated": multiply,
    "class": Search(),
    "injected": injected,
    "one text": Tool(name="echo", func=str, description="Echoes."),
    "one text with a config": Tool(name="ask", func=RunnableLambda(str).invoke, description="Asks."),
    "one text with a schema": Tool(name="greet", func=str, description="Greets.", args_schema=City),
    "dict": StructuredTool(name="d", description="D.", args_schema=City.model_json_schema(), func=str),
    "docstring": StructuredTool.from_function(add, name="sum"),
}


@pytest.mark.parametrize("kind", TOOLS)
def test_a_tool_has_the_parameters_that_langchain_sends(kind: str) -> None:
    found, sent = kept(TOOLS[kind])["function"], convert_to_openai_tool(TOOLS[kind])["function"]
    for form in (found, sent):
        form["parameters"] = remove_titles(form["parameters"])
        form["parameters"].pop("additionalProperties", None)
    assert found == sent


def remove_titles(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    return {key: remove_titles(item) for key, item in schema.items() if key != "title"}


def test_classes_are_kept_wherever_they_stand() -> None:
    settings = {"deep": {"list": [Person, (Team, [add])]}, "tools": [Person, multiply]}
    found = kept(settings)
    assert found["deep"]["list"][0] == Person.model_json_schema()
    assert found["deep"]["list"][1][0] == Team.model_json_schema()
    assert found["tools"][1]["function"]["name"] == "multiply"


@pytest.mark.parametrize("value", [object, type("Plain", (), {}), Path, len, print], ids=str)
def test_a_class_that_is_no_data_is_kept_by_its_repr(value: Any) -> None:
    data, lossy = encode({"value": value, "kept": 1})
    assert (lossy, decode_plain(data)["kept"]) == (value is not Path, 1)


UserId = NewType("UserId", int)


class OwnSchema:
    """An object of the program with a schema. A class method describes the class, and not the object."""

    def json_schema(self) -> dict[str, Any]:
        return {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (TypeAdapter(City), City.model_json_schema()),
        (TypeAdapter(list[int]), {"items": {"type": "integer"}, "type": "array"}),
        (UserId, {"type": "integer"}),
        (TypeAliasType("Numbers", list[int]), {"items": {"type": "integer"}, "type": "array"}),
        (OwnSchema(), OwnSchema().json_schema()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_object_that_carries_a_schema_is_kept_by_it(value: Any, expected: Any) -> None:
    assert kept(value) == expected
    assert kept({"deep": [{"schema": value}]}) == {"deep": [{"schema": expected}]}


def test_a_class_of_attrs_has_the_schema_of_its_fields() -> None:
    schema = kept(attrs.make_class("Spot", {"x": attrs.field(type=int), "city": attrs.field(type=City, default=None)}))
    assert (schema["title"], schema["required"]) == ("Spot", ["x"])
    assert schema["properties"]["x"]["type"] == "integer"
    assert schema["properties"]["city"] == {"$ref": "#/$defs/City"}


def test_a_function_with_bound_arguments_has_the_form_of_a_tool() -> None:
    function = kept(functools.partial(add, b=3))["function"]
    assert (function["name"], function["description"]) == ("add", "Adds two numbers.")
    assert function["parameters"]["required"] == ["a"]


class Broken(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    socket: object = object()

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        raise SystemExit("no schema")


def test_a_class_whose_schema_raises_costs_only_itself() -> None:
    data, lossy = encode({"value": Broken, "kept": 1})
    assert (lossy, decode_plain(data)["kept"]) == (True, 1)


def test_a_schema_with_the_key_of_a_tag_survives() -> None:
    fields: Any = {"dollar": (int, Field(alias="$"))}
    odd = create_model("Odd", **fields)
    assert kept(odd) == odd.model_json_schema()


def test_a_class_is_not_kept_alive_by_its_schema() -> None:
    made = create_model("Made", x=(int, 1))
    kept(made)
    reference = weakref.ref(made)
    del made
    gc.collect()
    assert reference() is None


def test_a_forward_reference_is_resolved_later() -> None:
    class Later(BaseModel):
        other: "Missing"  # type: ignore[name-defined]  # noqa: F821, UP037

    assert encode(Later)[1]
    Later.model_rebuild(_types_namespace={"Missing": int})
    assert kept(Later) == Later.model_json_schema()


FIELDS = st.dictionaries(
    st.from_regex("[a-z]{1,6}", fullmatch=True),
    st.sampled_from([int, str, list[int], Optional[float], Person, dict[str, Person], Literal["a"]]),  # noqa: UP045
    max_size=4,
)


@given(FIELDS)
def test_any_class_is_kept_by_the_schema_that_pydantic_makes(fields: dict[str, Any]) -> None:
    chosen: Any = {f"{name}_": (kind, ...) for name, kind in fields.items()}
    made = create_model("Made", **chosen)
    assert kept({"response_format": made, "n": [made]}) == {
        "response_format": made.model_json_schema(),
        "n": [made.model_json_schema()],
    }


def read(path: Path) -> Any:
    with Journal.open(path) as journal:
        return next(iter(journal.records()))


@pytest.mark.parametrize("provider", ["openai", "azure"])
@pytest.mark.parametrize("way", ["structured", "bound", "called"])
def test_the_format_of_an_answer_is_on_record_as_the_provider_received_it(
    tmp_path: Path, provider: str, way: str
) -> None:
    handler = PromptLayerCallbackHandler(journal=tmp_path / "j")
    with OpenAIServer() as server:
        model: Any
        if provider == "openai":
            model = ChatOpenAI(model="gpt-4o", api_key="x", base_url=server.url, max_retries=0)
        else:
            model = AzureChatOpenAI(
                azure_deployment="d", api_version="1", azure_endpoint=server.url, api_key="x", max_retries=0
            )
        config: Any = {"callbacks": [handler]}
        if way == "structured":
            model.with_structured_output(City).invoke("'Ann'", config)
        elif way == "bound":
            model.bind(response_format=City).invoke("'Ann'", config)
        else:
            model.invoke("'Ann'", config, response_format=City)
        (request,) = server.requests
    record = read(tmp_path / "j")
    recorded = record.params["response_format"]
    assert recorded["type"] == request["response_format"]["type"] == "json_schema"
    assert recorded["json_schema"]["name"] == request["response_format"]["json_schema"]["name"]
    assert recorded["json_schema"]["schema"] == City.model_json_schema()
    assert not record.lossy


def test_a_class_as_a_tool_reaches_promptlayer_as_a_function() -> None:
    start = orjson.loads(encode({"params": {"tools": [Person, add]}})[0])
    tools = LoggedCall(start=start).log()["input"]["tools"]
    assert [found["function"]["name"] for found in tools] == ["Person", "add"]
    assert tools[0]["function"]["description"] == "A person."
    assert set(tools[0]["function"]["parameters"]["properties"]) == {"name", "age"}


def test_the_schema_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    whole = BaseModel.model_json_schema.__func__  # type: ignore[attr-defined]

    def counted(cls: Any, *args: Any, **kwargs: Any) -> Any:
        made.append(cls)
        return whole(cls, *args, **kwargs)

    monkeypatch.setattr(BaseModel, "model_json_schema", classmethod(counted))
    once = create_model("Once", x=(int, 1))
    model = FakeListChatModel(responses=["yes"]).bind(response_format=once)
    for _ in range(5):
        model.invoke("hi", {"callbacks": [PromptLayerCallbackHandler(journal=tmp_path / "j")]})
    assert made == [once]


def test_credentials_in_a_schema_are_replaced() -> None:
    key = "sk-proj-" + "a1B2" * 8
    settings = create_model("Settings", url=(str, f"https://ann:hunter2@example.org/?api_key={key}"))
    data = encode({"value": settings}, redact=True)[0]
    assert b"hunter2" not in data
    assert key.encode() not in data
