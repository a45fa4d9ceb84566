"""A model request in its canonical form.

A request comes from a live call or from a record of a journal. Its ``body`` holds everything that lookups compare by
default: messages or prompt, stop words, tools, tool choice, response format. Model and settings stand beside the body.
They choose among recorded calls whose bodies are equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Literal

from plsync._common.large_json import loads
from plsync._common.redaction import redact_urls
from plsync.journal.events import facts
from plsync.journal.events.tagged import MESSAGES, TAG, encode
from plsync.replay.request.content import CallIds, canonical_content, scrub
from plsync.replay.request.recorded_schemas import with_recorded_schemas
from plsync.replay.request.settings import MODEL_NAME_FIELDS, NOT_SETTINGS, settings_of_params
from plsync.replay.request.tools import (
    CHOICE_OPTIONS,
    FORMAT_OPTIONS,
    TOOL_OPTIONS,
    canonical_choice,
    canonical_format,
    canonical_tools,
)

__all__ = [
    "MODEL_NAME_FIELDS",
    "Kind",
    "Request",
    "canonical_messages",
    "content_key",
    "model_defaults",
    "request_of_call",
    "request_of_record",
    "short_name",
    "to_tagged",
    "tools_and_format",
    "with_schemas",
]

Kind = Literal["chat", "llm", "embeddings", "tokens", "retriever", "tool"]
"""The subject of a request.

``chat`` is a list of messages for a chat model, ``llm`` one prompt for a text model, and ``embeddings`` one text.
The other kinds are ``tokens`` (a token count), ``retriever`` and ``tool``.
"""

_MESSAGE_TYPES: Final = {
    "AIMessage": "ai",
    "HumanMessage": "human",
    "SystemMessage": "system",
    "ToolMessage": "tool",
    "FunctionMessage": "function",
    "ChatMessage": "chat",
    "RemoveMessage": "remove",
    "BaseMessage": "base",
}
_BODY_OPTIONS: Final = ("stop", *TOOL_OPTIONS, *CHOICE_OPTIONS, *FORMAT_OPTIONS)


@dataclass(frozen=True, slots=True)
class Request:
    """One request: a conversation, one prompt, or one input of another kind."""

    kind: Kind
    body: dict[str, Any]
    """``messages``, ``prompt`` or ``input``, and if set ``stop``, ``tools``, ``tool_choice``, ``response_format``."""
    model: str | None = None
    """The model's name. For a model file, its file name."""
    class_name: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    """The other options of this call: ``temperature``, ``n_predict``, ...

    Embeddings: the settings of the model, too. Two models with other ``dimensions`` are two models.
    """
    model_settings: dict[str, Any] = field(default_factory=dict)
    """The settings of the model and of this call together, if the recording compares them."""
    place: str | None = None
    """The node and the task in a graph, which choose among equal requests."""

    def as_dict(self) -> dict[str, Any]:
        """The keys of ``body``, and ``kind``, ``model``, ``class``, ``settings``, and if set ``model_settings``."""
        return {
            "kind": self.kind,
            **self.body,
            "model": self.model,
            "class": self.class_name,
            "settings": self.settings,
            **({"model_settings": self.model_settings} if self.model_settings else {}),
        }


def content_key(kind: Kind) -> str:
    """The key of ``Request.body`` that holds the content.

    >>> content_key("chat")
    'messages'
    """
    return {"chat": "messages", "llm": "prompt"}.get(kind, "input")


def request_of_call(
    kind: Kind,
    model_input: Any,
    *,
    stop: Iterable[str] | None = None,
    options: Mapping[str, Any],
    model: str | None = None,
    class_name: str | None = None,
    defaults: Mapping[str, Any] | None = None,
    model_settings: Mapping[str, Any] | None = None,
) -> Request:
    """The request of a live call.

    Args:
        kind: the type of ``model_input``.
        model_input: a list of LangChain's messages, or a prompt.
        stop: the stop words of the call.
        options: the keyword arguments of the call.
        model: the model's name, unless ``options`` has another.
        class_name: the name of the model's class.
        defaults: the result of ``model_defaults`` for the model.
        model_settings: the result of ``settings_of_model`` for the model; ``None`` if they are not compared.
    """
    tagged_input = to_tagged(model_input)
    content = {"messages": canonical_messages(tagged_input)} if kind == "chat" else {"prompt": scrub(tagged_input)}
    found = {**content, **(defaults or {})}
    if not options:
        return Request(kind, found | _stop(stop), short_name(model), class_name, {}, dict(model_settings or {}))
    options = {key: with_schemas(key, value) for key, value in options.items()}
    tagged = to_tagged(options, redact=True)
    name = next((tagged[key] for key in MODEL_NAME_FIELDS if isinstance(tagged.get(key), str)), model)
    settings = {key: value for key, value in tagged.items() if key not in NOT_SETTINGS and value is not None}
    body = found | _stop(stop) | tools_and_format(with_recorded_schemas(tagged, {}))
    settings = scrub(settings)
    together = {} if model_settings is None else {**model_settings, **settings}
    return Request(kind, body, short_name(name), class_name, settings, together)


def model_defaults(kind: Kind, model: Any) -> dict[str, Any]:
    """The part of the body that a model sends with every call: stop words, tools, tool choice, response format.

    They come from the invocation parameters that LangChain passes to callbacks. So a live call and its record in a
    journal have the same body.
    """
    try:
        # Callbacks of a text model receive only the stop words of the call.
        params = model._get_invocation_params() if kind == "chat" else {**_fields(model), "stop": None}
        kept = {key: with_schemas(key, params[key]) for key in _BODY_OPTIONS if params.get(key) is not None}
        tagged = to_tagged(kept, redact=True) if kept else {}
    except Exception:  # the model was never initialised, or its parameters raise
        return {}
    return _stop(tagged.get("stop")) | tools_and_format(with_recorded_schemas(tagged, {}))


def _fields(model: Any) -> dict[str, Any]:
    # langchain-core 1.4 renamed ``dict`` to ``asdict`` and warns about the old name.
    fields: dict[str, Any] = getattr(model, "asdict", model.dict)()
    return fields


def request_of_record(start: Mapping[str, Any]) -> Request | None:
    """The request in a record's start event (``docs/reference/events.md``); ``None`` for an event without content.

    The settings stay empty: an event does not separate options of the call from settings of the model.
    """
    params, options, metadata = (_dict(start.get(key)) for key in ("params", "options", "metadata"))
    if isinstance(start.get("messages"), list) and start["messages"]:
        kind: Kind = "chat"
        content = {"messages": canonical_messages(start["messages"])}
    elif isinstance(prompts := start.get("prompts"), list) and prompts:
        kind, content = "llm", {"prompt": scrub(prompts[0])}
    else:
        return None
    stop = options.get("stop") or params.get("stop")
    model = facts.model(metadata, params, kind)
    body = content | _stop(stop) | tools_and_format(with_recorded_schemas(params, options))
    return Request(kind, body, short_name(model), facts.class_name(start), {}, settings_of_params(params))


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def to_tagged(value: Any, *, redact: bool = False) -> Any:
    """A value as parsed tagged JSON."""
    return loads(encode(value, redact=redact)[0])


def short_name(model: str | None) -> str | None:
    """The name of a model, without a directory and without credentials; ``None`` without a name."""
    return redact_urls(facts.short_model(model)) if model else None


def _stop(stop: Any) -> dict[str, Any]:
    if isinstance(stop, dict):  # tagged JSON of a tuple
        stop = stop.get("v")
    words = [stop] if isinstance(stop, str) else list(stop) if isinstance(stop, Iterable) else []
    return {"stop": words} if words else {}


def tools_and_format(options: Mapping[str, Any]) -> dict[str, Any]:
    """Tools, tool choice and response format among keyword arguments or invocation parameters."""
    tools = next((options[key] for key in TOOL_OPTIONS if options.get(key)), None)
    choice = next((options[key] for key in CHOICE_OPTIONS if options.get(key)), None)
    form = next((options[key] for key in FORMAT_OPTIONS if options.get(key)), None)
    found = {
        "tools": canonical_tools(tools) if tools else None,
        "tool_choice": canonical_choice(choice),
        "response_format": canonical_format(form),
    }
    return {key: value for key, value in found.items() if value is not None}


def with_schemas(key: str, value: Any) -> Any:
    """An option whose classes and functions are replaced by the schemas that LangChain makes of them."""
    if key in TOOL_OPTIONS and isinstance(value, (list, tuple)):
        return [_function_schema(tool) for tool in value]
    return _function_schema(value) if key in FORMAT_OPTIONS and _is_class_of_data(value) else value


def _is_class_of_data(value: Any) -> bool:
    """Whether a class has fields. LangChain makes no useful schema of an enum or a built-in class."""
    return isinstance(value, type) and not issubclass(value, Enum) and value.__module__ != "builtins"


def _function_schema(tool: Any) -> Any:
    if isinstance(tool, Mapping):
        return tool
    from langchain_core.utils.function_calling import convert_to_openai_function  # noqa: PLC0415 - heavy

    try:
        return convert_to_openai_function(tool)
    except Exception:  # a tool in a provider's own form is compared unchanged
        return tool


def canonical_messages(tagged: list[Any]) -> list[Any]:
    """Messages of a request, from parsed tagged JSON."""
    ids = CallIds()
    return [_message(item, ids) for item in tagged]


def _message(tagged: Any, ids: CallIds) -> Any:
    if isinstance(tagged, dict) and tagged.get(TAG) == "as":  # a message class of the program
        tagged = tagged["v"]
    tag = tagged.get(TAG) if isinstance(tagged, dict) else None
    fields = tagged.get("v") if isinstance(tag, str) and tag in MESSAGES else None
    if not isinstance(tag, str) or not isinstance(fields, dict):
        return scrub(tagged)
    found: dict[str, Any] = {"type": _MESSAGE_TYPES[tag.removesuffix("Chunk")]}
    if "role" in fields:
        found["role"] = fields["role"]
    if fields.get("name"):
        found["name"] = fields["name"]
    tool_calls = fields.get("tool_calls") or []
    found["content"] = canonical_content(fields.get("content"), ids, skip_tool_calls=bool(tool_calls))
    for key in ("tool_calls", "invalid_tool_calls"):
        if isinstance(fields.get(key), list) and fields[key]:
            found[key] = [_tool_call(call, ids) for call in fields[key]]
    extra = fields.get("additional_kwargs")
    if not tool_calls and isinstance(extra, dict) and extra.get("function_call"):
        found["function_call"] = scrub(extra["function_call"])
    if tag.startswith("ToolMessage"):
        found["tool_call_id"] = ids.name(fields.get("tool_call_id"))
        if fields.get("status") == "error":
            found["status"] = "error"
    return found


def _tool_call(call: Any, ids: CallIds) -> Any:
    if not isinstance(call, dict):
        return scrub(call)
    return {"name": call.get("name"), "args": scrub(call.get("args")), "id": ids.name(call.get("id"))}
