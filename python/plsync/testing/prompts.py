"""Messages and prompts of PromptLayer's blueprint, as strictly as its OpenAPI file (2026-08-21) describes them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from plsync.testing.contents import Content, Schema


class FunctionCall(Schema):
    """A function's name and its arguments as JSON text."""

    name: str
    arguments: str


class ToolCall(Schema):
    """A call of a tool, asked for by a model."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionCall
    tool_id: str | None = None


class Message(Schema):
    """What every message has."""

    content: list[Content]
    input_variables: list[str] = Field(default_factory=list)
    template_format: Literal["f-string", "jinja2"] = "f-string"
    name: str | None = None


class System(Message):
    """Instructions."""

    role: Literal["system"]


class Developer(Message):
    """Instructions, in OpenAI's newer role."""

    role: Literal["developer"]


class User(Message):
    """What a person said."""

    role: Literal["user"]


class Assistant(Message):
    """What a model said. ``content`` may be null or missing by the schema; the dashboard then shows nothing."""

    role: Literal["assistant"]
    content: list[Content] | None = None  # type: ignore[assignment]
    tool_calls: list[ToolCall] | None = None
    function_call: FunctionCall | None = None


class Tool(Message):
    """A tool's answer."""

    role: Literal["tool"]
    tool_call_id: str


class Function(Message):
    """A function's answer, the older form of a tool's."""

    role: Literal["function"]
    name: str
    content: list[Content] | None = None  # type: ignore[assignment]


class Placeholder(Message):
    """Where messages will be filled in; in templates only."""

    role: Literal["placeholder"]
    name: str
    content: list[Content] | None = None  # type: ignore[assignment]


AnyMessage = Annotated[
    System | Developer | User | Assistant | Tool | Function | Placeholder, Field(discriminator="role")
]


class FunctionSpec(Schema):
    """A function that a model may call."""

    name: str
    description: str = ""
    strict: bool = False
    parameters: dict[str, Any] = Field(default_factory=dict)


class FunctionTool(Schema):
    """A function offered as a tool."""

    type: Literal["function"]
    function: FunctionSpec


class BuiltInTool(Schema):
    """A tool that the provider runs."""

    type: Literal[
        "web_search", "file_search", "code_interpreter", "image_generation", "google_maps", "url_context", "mcp",
        "bash", "shell", "apply_patch", "text_editor",
    ]  # fmt: skip
    id: str
    name: str
    description: str
    provider: str
    config: dict[str, Any]


class FunctionName(Schema):
    """A function by name."""

    name: str


class ToolChoice(Schema):
    """The tool a model must call."""

    type: Literal["function"]
    function: FunctionName


class CompletionPrompt(Schema):
    """The prompt, or the answer, of a text model."""

    type: Literal["completion"]
    content: list[Content]
    template_format: Literal["f-string", "jinja2"] = "f-string"
    input_variables: list[str] = Field(default_factory=list)


class ChatPrompt(Schema):
    """The messages of a chat model's prompt or answer."""

    type: Literal["chat"]
    messages: list[AnyMessage]
    tools: list[Annotated[FunctionTool | BuiltInTool, Field(discriminator="type")]] | None = None
    tool_choice: str | ToolChoice | None = None
    functions: list[FunctionSpec] | None = None
    function_call: str | FunctionName | None = None
    input_variables: list[str] = Field(default_factory=list)


Prompt = Annotated[CompletionPrompt | ChatPrompt, Field(discriminator="type")]
