"""Messages and prompts of PromptLayer's blueprint. Source: its OpenAPI file (2026-08-21)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import NotRequired, TypedDict

from plsync.testing.schema.contents import JSON, Content


class FunctionCall(TypedDict):
    """A function's name and its arguments as JSON text."""

    name: str
    arguments: str


class ToolCall(TypedDict):
    """A model's request to call a tool."""

    id: str
    type: NotRequired[Literal["function"]]
    function: FunctionCall
    tool_id: NotRequired[str | None]


class Message(TypedDict):
    """The fields of every message."""

    input_variables: NotRequired[list[str]]
    template_format: NotRequired[Literal["f-string", "jinja2"]]


class System(Message):
    """Instructions."""

    role: Literal["system"]
    content: list[Content]
    name: NotRequired[str | None]


class Developer(Message):
    """Instructions, in OpenAI's newer role."""

    role: Literal["developer"]
    content: list[Content]
    name: NotRequired[str | None]


class User(Message):
    """A message from a person."""

    role: Literal["user"]
    content: list[Content]
    name: NotRequired[str | None]


class Assistant(Message):
    """A model's message. The schema allows ``content`` to be null or missing; the dashboard then shows nothing."""

    role: Literal["assistant"]
    content: NotRequired[list[Content] | None]
    name: NotRequired[str | None]
    tool_calls: NotRequired[list[ToolCall] | None]
    function_call: NotRequired[FunctionCall | None]


class Tool(Message):
    """The result of a tool."""

    role: Literal["tool"]
    content: list[Content]
    tool_call_id: str
    name: NotRequired[str | None]


class Function(Message):
    """The result of a function, the older form of a tool's result."""

    role: Literal["function"]
    content: NotRequired[list[Content] | None]
    name: str


class Placeholder(Message):
    """A placeholder for messages; only templates have it."""

    role: Literal["placeholder"]
    content: NotRequired[list[Content] | None]
    name: str
    raw_request_display_role: NotRequired[str]


AnyMessage = Annotated[
    System | Developer | User | Assistant | Tool | Function | Placeholder, Field(discriminator="role")
]


class FunctionSpec(TypedDict):
    """A function that a model may call."""

    name: str
    description: NotRequired[str]
    strict: NotRequired[bool]
    parameters: NotRequired[JSON]


class FunctionTool(TypedDict):
    """A function offered as a tool."""

    type: Literal["function"]
    function: FunctionSpec


class BuiltInTool(TypedDict):
    """A tool that the provider runs."""

    type: Literal[
        "web_search", "file_search", "code_interpreter", "image_generation", "google_maps", "url_context", "mcp",
        "bash", "shell", "apply_patch", "text_editor",
    ]  # fmt: skip
    id: str
    name: str
    description: str
    provider: str
    config: JSON


class FunctionName(TypedDict):
    """A reference to a function."""

    name: str


class ToolChoice(TypedDict):
    """The tool a model must call."""

    type: NotRequired[Literal["function"]]
    function: FunctionName


class CompletionPrompt(TypedDict):
    """The prompt or the output of a text model."""

    type: Literal["completion"]
    content: list[Content]
    template_format: NotRequired[Literal["f-string", "jinja2"]]
    input_variables: NotRequired[list[str]]


class ChatPrompt(TypedDict):
    """The messages of a chat model's prompt or output."""

    type: Literal["chat"]
    messages: list[AnyMessage]
    tools: NotRequired[list[Annotated[FunctionTool | BuiltInTool, Field(discriminator="type")]] | None]
    tool_choice: NotRequired[str | ToolChoice | None]
    functions: NotRequired[list[FunctionSpec] | None]
    function_call: NotRequired[str | FunctionName | None]
    input_variables: NotRequired[list[str]]


Prompt = Annotated[CompletionPrompt | ChatPrompt, Field(discriminator="type")]
