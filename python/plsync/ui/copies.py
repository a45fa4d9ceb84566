"""A call as a text to paste elsewhere: Python, curl, a test, its answer, its prompt, or its messages."""

from __future__ import annotations

import pprint
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from plsync._common.large_json import dumps
from plsync.journal.display.message_text import request_text, response_text
from plsync.journal.display.noise import own_params
from plsync.journal.events.facts import short_model, tool_calls_at
from plsync.journal.record import Record
from plsync.ui.answers import ApiError, as_json
from plsync.ui.requests import Context

__all__ = ["copy", "curl", "pytest_code", "python_code"]

_CLASSES: Final = {"system": "SystemMessage", "human": "HumanMessage", "ai": "AIMessage", "tool": "ToolMessage"}
_ROLES: Final = {"system": "system", "human": "user", "ai": "assistant", "tool": "tool", "function": "function"}
# LangChain's init_chat_model takes these settings for each provider.
_COMMON: Final = frozenset({"temperature", "max_tokens", "timeout", "max_retries", "top_p"})
# The request has them in another place, or they belong to one call alone.
_LEFT_OUT: Final = frozenset({"stream", "stream_options", "model", "model_name", "tools", "functions", "stop", "n_ctx"})
_WIDTH: Final = 100
_LONGEST_ASSERTED: Final = 2000


def copy(request: Request) -> Response:
    """``GET /api/calls/{id}/copy``: the call in a form."""
    context = Context(request, "as", filters=False)
    context.content()
    record = context.record()
    forms: dict[str, Callable[[Record], str]] = {
        "answer": response_text,
        "prompt": request_text,
        "messages": lambda record: _pretty(record.input),
        "python": python_code,
        "curl": curl,
        "pytest": pytest_code,
        "show": lambda record: f"plsync show {record.id}",
    }
    chosen = context.choice("as", *forms)
    if record.is_run and chosen != "show":
        raise ApiError(400, "bad_request", f"a {record.kind} is no call of a model: copy one of its calls")
    text = forms[chosen](record)
    return Response(text.encode("utf-8", "backslashreplace"), media_type="text/plain")


def python_code(record: Record) -> str:
    """A program that sends the same request with LangChain."""
    imports, model = _model(record)
    lines = [*imports, *_message_imports(record), "", model, *_input(record)]
    lines += [f"response = model.invoke({_arguments(record)})", f"print({_shown(record)})"]
    return "\n".join(lines) + "\n"


def pytest_code(record: Record) -> str:
    """A test that replays the call, and the command that writes its recording."""
    name = record.id.replace("-", "")[-8:]
    file = f"recordings/call_{name}.jsonl"
    lines = [
        f"# plsync export {record.id} --recording {file}",
        *_message_imports(record),
        "",
        "from plsync.replay import load",
        "",
        "",
        f"def test_call_{name}():",
    ]
    body = [f'model = load("{file}"){_bound(_tools(record))}', *_input(record)]
    body.append(f"response = model.invoke({_arguments(record)})")
    answer = response_text(record)
    if answer and len(answer) <= _LONGEST_ASSERTED:
        body.append(f"assert {_shown(record)} == {answer!r}")
    elif calls := record.tool_calls:
        wanted = [(call.get("name"), call.get("args")) for call in calls]
        body.append('calls = [(call["name"], call["args"]) for call in response.tool_calls]')
        body.append(f"assert calls == {_literal(wanted)}")
    else:
        body.append("assert response")
    lines += [f"    {line}" for part in body for line in part.split("\n")]
    return "\n".join(lines).lstrip("\n") + "\n"


def curl(record: Record) -> str:
    """A request to a server that speaks OpenAI's API. The key comes from the environment."""
    body: dict[str, Any] = {"model": short_model(record.model or "")}
    params = {name: value for name, value in record.params.items() if value is not None}
    body |= {name: value for name, value in own_params(record, params).items() if name not in _LEFT_OUT}
    if stop := _stop(record):
        body["stop"] = stop
    if record.kind == "chat":
        path = "chat/completions"
        body["messages"] = list(map(_openai_message, record.input))
        if tools := _tools(record):
            body["tools"] = tools
    else:
        path = "completions"
        body["prompt"] = record.input[0] if len(record.input) == 1 else record.input
    return "\n".join(
        (
            f'curl "${{OPENAI_BASE_URL:-https://api.openai.com/v1}}/{path}" \\',
            '  -H "Authorization: Bearer $OPENAI_API_KEY" \\',
            '  -H "Content-Type: application/json" \\',
            # JSON escapes line ends, so no line of it is the delimiter.
            "  --data-binary @- <<'JSON'",
            _pretty(body),
            "JSON",
            "",
        )
    )


# --- Python ---


def _model(record: Record) -> tuple[list[str], str]:
    """The imports and the statement that make the model."""
    name = record.model or ""
    params = {name: value for name, value in record.params.items() if value is not None}
    settings = {key: value for key, value in own_params(record, params).items() if key not in _LEFT_OUT}
    if record.provider == "gpt4all":
        imports = ["from langchain_community.llms import GPT4All", ""]
        return imports, f"model = GPT4All(model={name!r})"
    own = {key: value for key, value in settings.items() if key in _COMMON and not isinstance(value, dict | list)}
    bound = {key: value for key, value in settings.items() if key not in own}
    arguments = [repr(name), f"model_provider={record.provider!r}"]
    arguments += [f"{key}={value!r}" for key, value in own.items()]
    more = {"tools": _tools(record), **bound} if _tools(record) else bound
    imports = ["from langchain.chat_models import init_chat_model"]
    return imports, f"model = init_chat_model({', '.join(arguments)}){_bound_all(more)}"


def _bound(tools: list[Any]) -> str:
    return _bound_all({"tools": tools}) if tools else ""


def _bound_all(settings: dict[str, Any]) -> str:
    if not settings:
        return ""
    return f".bind(**{_literal(settings)})"


def _message_imports(record: Record) -> list[str]:
    names = sorted({_class(message) for message in record.input if isinstance(message, dict)})
    return [f"from langchain_core.messages import {', '.join(names)}"] if names and record.kind == "chat" else []


def _input(record: Record) -> Iterator[str]:
    if record.kind != "chat":
        yield f"prompt = {_literal(record.input[0] if record.input else '')}"
        return
    yield "messages = ["
    for message in record.input:
        yield "    " + _message(message).replace("\n", "\n    ") + ","
    yield "]"


def _arguments(record: Record) -> str:
    stop = _stop(record)
    return ("messages" if record.kind == "chat" else "prompt") + (f", stop={stop!r}" if stop else "")


def _shown(record: Record) -> str:
    return "response.text" if record.kind == "chat" else "response"


def _message(message: Any) -> str:
    if not isinstance(message, dict):
        return _literal(message)
    arguments = [_literal(message.get("content", ""))]
    kind = _class(message)
    if calls := tool_calls_at(message, "tool_calls"):
        arguments.append(f"tool_calls={_literal(calls)}")
    for key in ("tool_call_id", "role", "name"):
        is_own = key != "role" or kind == "ChatMessage"
        if isinstance(message.get(key), str) and message[key] and is_own:
            arguments.append(f"{key}={message[key]!r}")
    return f"{kind}({', '.join(arguments)})"


def _class(message: dict[str, Any]) -> str:
    kind = str(message.get("type", "")).removesuffix("MessageChunk").lower()
    return _CLASSES.get(kind, "ChatMessage" if kind == "chat" else "HumanMessage")


def _literal(value: Any) -> str:
    return pprint.pformat(value, width=_WIDTH, sort_dicts=False) if isinstance(value, dict | list) else repr(value)


# --- OpenAI's form ---


def _openai_message(message: Any) -> dict[str, Any]:
    if not isinstance(message, dict):
        return {"role": "user", "content": message}
    kind = str(message.get("type", "")).removesuffix("MessageChunk").lower()
    found: dict[str, Any] = {"role": str(message.get("role")) if kind == "chat" else _ROLES.get(kind, "user")}
    found["content"] = message.get("content", "")
    if calls := tool_calls_at(message, "tool_calls"):
        found["tool_calls"] = [
            {
                "id": call.get("id"),
                "type": "function",
                "function": {"name": call.get("name"), "arguments": as_json(call.get("args")).decode()},
            }
            for call in calls
        ]
    for key in ("tool_call_id", "name"):
        if message.get(key):
            found[key] = message[key]
    return found


def _tools(record: Record) -> list[Any]:
    tools = record.params.get("tools")
    return tools if isinstance(tools, list) else []


def _stop(record: Record) -> list[str]:
    stop = record.options.get("stop") or record.params.get("stop")
    stop = [stop] if isinstance(stop, str) else stop
    return [one for one in stop if isinstance(one, str)] if isinstance(stop, list) else []


def _pretty(value: Any) -> str:
    try:
        return dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # a lone surrogate, or a number that JSON lacks
        return re.sub(r"[\r\n]", " ", as_json(value).decode())
