"""What a model is asked, in the one form that is compared, stored and shown.

A request is made of a call that is about to happen or of a record in a journal. What matters is in ``asked``: messages
or prompt, stop words, tools, tool choice, response format. Beside it stand the model and its settings, which decide
between recorded calls that are otherwise alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson

from plsync._common.redaction import without_credentials
from plsync.journal.events import facts
from plsync.journal.events.tagged import MESSAGES, TAG, encode
from plsync.replay.request.content import CallIds, canonical_content, clean
from plsync.replay.request.tools import CHOICES, FORMATS, TOOLS, canonical_choice, canonical_format, canonical_tools

__all__ = ["MODEL_NAMES", "Kind", "Request", "of_call", "of_model", "of_record"]

Kind = Literal["chat", "llm"]

_TYPES: Final = {
    **{"AIMessage": "ai", "HumanMessage": "human", "SystemMessage": "system", "ToolMessage": "tool"},
    **{"FunctionMessage": "function", "ChatMessage": "chat", "RemoveMessage": "remove", "BaseMessage": "base"},
}
MODEL_NAMES: Final = ("model", "model_name", "model_id", "model_path")
_PARTS: Final = ("stop", *TOOLS, *CHOICES, *FORMATS)
# Said to LangChain, or about the transport; none of it is a setting of the model.
_NO_SETTINGS: Final = frozenset(
    {
        *(*TOOLS, *CHOICES, *FORMATS, *MODEL_NAMES),
        *("_type", "stop", "stream", "streaming", "ls_structured_output_format", "structured_output_format"),
        *("headers", "extra_headers", "default_headers", "timeout", "config"),
    }
)


@dataclass(frozen=True, slots=True)
class Request:
    """One request: a conversation, or one prompt."""

    kind: Kind
    asked: dict[str, Any]
    """``messages`` or ``prompt``; ``stop``, ``tools``, ``tool_choice``, ``response_format`` where there is one."""
    model: str | None = None
    """The model's name; of a model file, its file name."""
    class_name: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    """What this one call sets besides: ``temperature``, ``n_predict``, ..."""

    def as_dict(self) -> dict[str, Any]:
        """The parts of ``asked``, and ``kind``, ``model``, ``class`` and ``settings``."""
        return {
            "kind": self.kind,
            **self.asked,
            "model": self.model,
            "class": self.class_name,
            "settings": self.settings,
        }


def of_call(
    kind: Kind,
    given: Any,
    *,
    stop: Iterable[str] | None = None,
    options: Mapping[str, Any],
    model: str | None = None,
    class_name: str | None = None,
    own: Mapping[str, Any] | None = None,
) -> Request:
    """The request of a call.

    Args:
        kind: what ``given`` is: a list of messages, or a prompt.
        given: LangChain's objects.
        stop: the stop words.
        options: the call's keyword arguments, as the model gets them.
        model: the model's name, unless ``options`` names another.
        class_name: the name of the model's class.
        own: what the model asks in every call, as ``of_model`` returned it.
    """
    said = {"messages": _messages(_tagged(given))} if kind == "chat" else {"prompt": clean(_tagged(given))}
    found = {**said, **(own or {})}
    if not options:
        return Request(kind, found | _stop(stop), _short(model), class_name)
    options = {key: _schema_of(key, value) for key, value in options.items()}
    tagged = _tagged(options, redact=True)
    named = next((tagged[key] for key in MODEL_NAMES if isinstance(tagged.get(key), str)), model)
    settings = {key: value for key, value in tagged.items() if key not in _NO_SETTINGS and value is not None}
    asked = found | _stop(stop) | _offered(tagged)
    return Request(kind, asked, _short(named), class_name, clean(settings))


def of_model(kind: Kind, model: Any) -> dict[str, Any]:
    """What a model asks in every call, since it was made so: stop words, tools, tool choice, response format.

    These are found where LangChain itself finds them to tell callbacks, so that a call has the same request here as
    in a journal.
    """
    try:
        # A text model's callbacks are told the stop words of the call alone.
        params = model._get_invocation_params() if kind == "chat" else {**_fields(model), "stop": None}
        kept = {key: _schema_of(key, params[key]) for key in _PARTS if params.get(key) is not None}
        tagged = _tagged(kept, redact=True) if kept else {}
    except Exception:  # a model that was never initialised, or cannot tell
        return {}
    return _stop(tagged.get("stop")) | _offered(tagged)


def _fields(model: Any) -> dict[str, Any]:
    # LangChain renamed it in 1.4, and warns of the old name.
    fields: dict[str, Any] = getattr(model, "asdict", model.dict)()
    return fields


def of_record(start: Mapping[str, Any]) -> Request | None:
    """The request of a record's start event (``docs/reference/events.md``); ``None`` when it holds none.

    The settings stay empty: an event does not tell those of the call from those of the model.
    """
    params, options, metadata = (_dict(start.get(key)) for key in ("params", "options", "metadata"))
    if isinstance(start.get("messages"), list) and start["messages"]:
        kind: Kind = "chat"
        found = {"messages": _messages(start["messages"])}
    elif isinstance(prompts := start.get("prompts"), list) and prompts:
        kind, found = "llm", {"prompt": clean(prompts[0])}
    else:
        return None
    stop = options.get("stop") or params.get("stop")
    model = facts.model(metadata, params)
    asked = found | _stop(stop) | _offered(params)
    return Request(kind, asked, _short(model), facts.class_name(start))


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _tagged(value: Any, *, redact: bool = False) -> Any:
    return orjson.loads(encode(value, redact=redact)[0])


def _short(model: str | None) -> str | None:
    return without_credentials(facts.short_model(model)) if model else None


def _stop(stop: Any) -> dict[str, Any]:
    if isinstance(stop, dict):  # tagged: a tuple
        stop = stop.get("v")
    words = [stop] if isinstance(stop, str) else list(stop) if isinstance(stop, Iterable) else []
    return {"stop": words} if words else {}


def _offered(options: Mapping[str, Any]) -> dict[str, Any]:
    """Tools, tool choice and response format among keyword arguments or invocation parameters."""
    tools = next((options[key] for key in TOOLS if options.get(key)), None)
    choice = next((options[key] for key in CHOICES if options.get(key)), None)
    form = next((options[key] for key in FORMATS if options.get(key)), None)
    found = {
        "tools": canonical_tools(tools) if tools else None,
        "tool_choice": canonical_choice(choice),
        "response_format": canonical_format(form),
    }
    return {key: value for key, value in found.items() if value is not None}


def _schema_of(key: str, value: Any) -> Any:
    """Tools and formats given as classes or functions, as the schema LangChain makes of them."""
    if key in TOOLS and isinstance(value, (list, tuple)):
        return [_function(tool) for tool in value]
    return _function(value) if key in FORMATS and isinstance(value, type) else value


def _function(tool: Any) -> Any:
    if isinstance(tool, Mapping):
        return tool
    from langchain_core.utils.function_calling import convert_to_openai_function  # noqa: PLC0415 - heavy

    try:
        return convert_to_openai_function(tool)
    except Exception:  # whatever a provider takes for a tool, it can be compared as it is
        return tool


def _messages(tagged: list[Any]) -> list[Any]:
    ids = CallIds()
    return [_message(item, ids) for item in tagged]


def _message(tagged: Any, ids: CallIds) -> Any:
    if isinstance(tagged, dict) and tagged.get(TAG) == "as":  # a message class of the program's own
        tagged = tagged["v"]
    tag = tagged.get(TAG) if isinstance(tagged, dict) else None
    fields = tagged.get("v") if tag in MESSAGES else None
    if not isinstance(tag, str) or not isinstance(fields, dict):
        return clean(tagged)
    found: dict[str, Any] = {"type": _TYPES[tag.removesuffix("Chunk")]}
    if "role" in fields:
        found["role"] = fields["role"]
    if fields.get("name"):
        found["name"] = fields["name"]
    calls = fields.get("tool_calls") or []
    found["content"] = canonical_content(fields.get("content"), ids, calls_elsewhere=bool(calls))
    for key in ("tool_calls", "invalid_tool_calls"):
        if isinstance(fields.get(key), list) and fields[key]:
            found[key] = [_call(call, ids) for call in fields[key]]
    extra = fields.get("additional_kwargs")
    if not calls and isinstance(extra, dict) and extra.get("function_call"):
        found["function_call"] = clean(extra["function_call"])
    if tag.startswith("ToolMessage"):
        found["tool_call_id"] = ids.name(fields.get("tool_call_id"))
        if fields.get("status") == "error":
            found["status"] = "error"
    return found


def _call(call: Any, ids: CallIds) -> Any:
    if not isinstance(call, dict):
        return clean(call)
    return {"name": call.get("name"), "args": clean(call.get("args")), "id": ids.name(call.get("id"))}
