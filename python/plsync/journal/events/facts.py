"""Extracts facts from the events of a call: model, provider, usage, tool calls.

The functions take event bodies in plain form (:func:`plsync.journal.events.tagged.to_plain`). Providers and versions
of LangChain store one fact in different places. Each function reads these places in order, the most reliable first. A
value that is missing or has another shape counts as absent: a journal stays readable with every model integration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypedDict

from plsync._common.large_json import dumps
from plsync.journal.events import usage as counts
from plsync.journal.events.usage import Usage

__all__ = ["CallError", "Generation", "Usage"]

_MODEL_KEYS: Final = (
    "model",
    "model_name",
    "model_id",
    "model_path",
    "modelId",
    "azure_deployment",
    "deployment_name",
    "repo_id",
)
_ANSWERED_MODEL_KEYS: Final = ("model_name", "model", "model_id", "modelId", "model_version", "modelVersion")
# The third part of such a path names the provider: ["langchain", "chat_models", "openai", "ChatOpenAI"].
_UMBRELLAS: Final = frozenset({"langchain", "langchain_community", "langchain_classic"})
# The messages of google.genai, openai and mistralai start with the HTTP status.
_STATUS_IN_BRACKETS: Final = re.compile(r"\[([45]\d\d)\] ")
_STATUS_IN_MESSAGE: Final = re.compile(r"(?:Error code: |HTTP (?:error |status )?|Status(?: code)?[: ] ?)?([45]\d\d)\b")


class Generation(TypedDict):
    """One candidate of a response. ``message`` has the fields of the LangChain message; ``None`` for text models."""

    text: str
    message: dict[str, Any] | None
    generation_info: dict[str, Any] | None


class CallError(TypedDict):
    """Why a call failed. ``status_code`` comes from the exception, or is absent (None)."""

    type: str
    message: str
    module: str | None
    status_code: int | None


def dict_at(body: Mapping[str, Any], key: str) -> dict[str, Any]:
    """``body[key]`` if it is a dict, else an empty dict."""
    value = body.get(key)
    return value if isinstance(value, dict) else {}


def nonempty_text(value: object) -> str | None:
    """``value`` if it is a text and not empty, else None."""
    return value if isinstance(value, str) and value else None


def tags(start: Mapping[str, Any]) -> list[str]:
    """LangChain's tags, then the handler's ``pl_tags``; each once."""
    found: dict[str, None] = {}
    for key in ("tags", "pl_tags"):
        if isinstance(listed := start.get(key), list):
            for tag in listed:
                found[tag if isinstance(tag, str) else str(tag)] = None
    return list(found)


def class_name(start: Mapping[str, Any]) -> str | None:
    """The name of the model class: the last part of its path."""
    path = start.get("class")
    return nonempty_text(path[-1]) if isinstance(path, list) and path else None


def provider(start: Mapping[str, Any]) -> str | None:
    """LangChain's ``ls_provider``, else the provider in the path of the model class, else its name in lower case."""
    if found := nonempty_text(dict_at(start, "metadata").get("ls_provider")):
        return found
    path = start.get("class")
    parts = [part for part in path if isinstance(part, str)] if isinstance(path, list) else []
    if len(parts) > 3 and parts[0] in _UMBRELLAS:
        return parts[2]
    if parts and parts[0].startswith("langchain_") and parts[0] not in _UMBRELLAS | {"langchain_core"}:
        return parts[0].removeprefix("langchain_")
    return (class_name(start) or "").lower() or None


def models(metadata: Mapping[str, Any], params: Mapping[str, Any], kind: str = "llm") -> list[str]:
    """Every name of the model in the request, each once, the most reliable first.

    A chat model that is bound to another model passes its name in ``params``; a text model passes it in ``metadata``.
    """
    own = nonempty_text(metadata.get("ls_model_name"))
    passed = [name for key in _MODEL_KEYS if (name := nonempty_text(params.get(key)))]
    found = [*passed[:1], own, *passed[1:]] if kind == "chat" else [own, *passed]
    return list(dict.fromkeys(name for name in found if name))


def model(metadata: Mapping[str, Any], params: Mapping[str, Any], kind: str = "llm") -> str | None:
    """The most reliable name of the model in the request."""
    return next(iter(models(metadata, params, kind)), None)


def labels(metadata: Mapping[str, Any], params: Mapping[str, Any]) -> list[str]:
    """The names of the model by which the store finds a record (``rust/python/src/recorder/labels.rs``)."""
    passed = next((name for key in _MODEL_KEYS[:4] if (name := nonempty_text(params.get(key)))), None)
    found = (nonempty_text(metadata.get("ls_model_name")), passed)
    return list(dict.fromkeys(name for name in found if name))


def requested_model(requested: list[str], answered: str | None) -> str | None:
    """The name in the request that the answer confirms, else the first one, else the name in the answer.

    >>> requested_model(["gpt-4o", "gpt-4o-mini"], "gpt-4o-mini-2024-07-18")
    'gpt-4o-mini'
    """
    if answered and len(requested) > 1:
        bare = _bare_model(answered)
        # The longest, because the name of one model may start with the name of another.
        confirmed = max(filter(bare.startswith, map(_bare_model, requested)), key=len, default=None)
        if confirmed is not None:
            return next(name for name in requested if _bare_model(name) == confirmed)
    return requested[0] if requested else answered


def _bare_model(name: str) -> str:
    """A name without a router or a folder before it: ``models/gemini-2.5-flash``, ``openai/gpt-4o``."""
    return short_model(name).rpartition("/")[2].lower()


def short_model(name: str) -> str:
    """The name under which a model is listed, found and sent. Of the path of a local model: the file name.

    >>> short_model("/models/tiny.gguf"), short_model("meta-llama/Llama-3")
    ('tiny.gguf', 'meta-llama/Llama-3')
    """
    is_path = name.startswith(("/", ".", "~")) or "\\" in name or name.lower().endswith(".gguf")
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1] if is_path else name


def response_model(output: list[Generation]) -> str | None:
    """The model's name in the response of the provider."""
    metadata = dict_at(_first_message(output), "response_metadata")
    return _answered_name(metadata) or _answered_name(_first_info(output))


def client_model(end: Mapping[str, Any]) -> str | None:
    """The model's name in ``llm_output``. Some clients copy it from the model object, and not from the response."""
    return _answered_name(dict_at(end, "llm_output"))


def _answered_name(place: Mapping[str, Any]) -> str | None:
    return next((name for key in _ANSWERED_MODEL_KEYS if (name := nonempty_text(place.get(key)))), None)


def inputs(start: Mapping[str, Any]) -> list[Any]:
    """The input: messages, prompts, or the inputs of a decision model."""
    for key in ("messages", "prompts", "inputs"):
        if (value := start.get(key)) is not None:
            return value if isinstance(value, list) else [value]
    return []


def step_input(start: Mapping[str, Any], end: Mapping[str, Any]) -> Any:
    """The input of a run that is not a call. A streamed root has it in the end."""
    return start["input"] if "input" in start else end.get("input")


def generations(end: Mapping[str, Any]) -> list[Generation]:
    """The candidates of the response. The outputs of a decision model count as one candidate."""
    found = end.get("generations")
    output = [_generation(item) for item in found if isinstance(item, dict)] if isinstance(found, list) else []
    if not output and (outputs := end.get("outputs")) is not None:
        as_text = outputs if isinstance(outputs, str) else dumps(outputs).decode()
        output = [{"text": as_text, "message": None, "generation_info": None}]
    return output


def tool_calls(output: list[Generation]) -> list[dict[str, Any]]:
    """The tool calls of every candidate."""
    return [call for item in output for call in tool_calls_at(item["message"] or {}, "tool_calls")]


def tool_calls_at(message: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The tool calls under ``tool_calls`` or ``invalid_tool_calls`` of a message."""
    found = message.get(key)
    return [call for call in found if isinstance(call, dict)] if isinstance(found, list) else []


def usage(output: list[Generation], end: Mapping[str, Any]) -> Usage | None:
    """The tokens used, wherever the answer reports them."""
    found = counts.usage(_first_message(output), _first_info(output), end)
    # A stream of several candidates may report the counts with any of them.
    others = (counts.usage(item["message"] or {}, item["generation_info"] or {}, {}) for item in output[1:])
    return found or next(filter(None, others), None)


def error(end: Mapping[str, Any], *, abandoned: bool) -> CallError | None:
    """The error of the call. The type is ``Abandoned`` when its process ended before the call."""
    if found := dict_at(end, "error"):
        return {
            "type": nonempty_text(found.get("type")) or "Exception",
            "message": nonempty_text(found.get("message")) or "",
            "module": nonempty_text(found.get("module")),
            "status_code": _status_code(found),
        }
    if not abandoned:
        return None
    message = "the process has ended, and no end of the call was recorded: the journal has the request, and no response"
    return {"type": "Abandoned", "message": message, "module": None, "status_code": None}


def _generation(item: Mapping[str, Any]) -> Generation:
    message, info = item.get("message"), item.get("generation_info")
    return {
        "text": item["text"] if isinstance(item.get("text"), str) else "",
        "message": message if isinstance(message, dict) else None,
        "generation_info": info if isinstance(info, dict) else None,
    }


def _first_message(output: list[Generation]) -> dict[str, Any]:
    return (output[0]["message"] or {}) if output else {}


def _first_info(output: list[Generation]) -> dict[str, Any]:
    return (output[0]["generation_info"] or {}) if output else {}


def _status_code(error: Mapping[str, Any]) -> int | None:
    """The HTTP status: of the exception, of the response, or at the start of the message."""
    for found in (error.get("status_code"), dict_at(error, "response").get("status_code")):
        # A stream that breaks had begun with 200, which is no status of an error.
        if isinstance(found, int) and not 200 <= found < 300:
            return found
    message = nonempty_text(error.get("message")) or ""
    # Only an exception of a client: the message of another one may start with any number.
    of_client = error.get("module") != "builtins"
    named = _STATUS_IN_MESSAGE.match(message) if of_client else None
    if error.get("type") == "Exception":  # NVIDIA's client raises this class
        named = _STATUS_IN_BRACKETS.match(message)
    return int(named[1]) if named else None
