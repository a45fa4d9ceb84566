"""Token counts of models that send the text to a server: the counts are recorded and served like answers.

Most models count with a tokenizer inside the process. Their counts need no recording.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

from plsync.replay.proxy import live
from plsync.replay.proxy.inputs import InterceptedInputs
from plsync.replay.request.input import messages_input
from plsync.replay.request.request import to_tagged

__all__ = ["COUNTERS", "is_remote_counter", "token_methods"]

COUNTERS: Final = ("get_num_tokens", "get_num_tokens_from_messages")
"""The methods of LangChain's models that count tokens."""

# The attributes of a model, and the methods of a client, through which a count reaches a server.
_REMOTE_NAMES: Final = frozenset(
    {"client", "_client", "async_client", "_async_client", "bedrock_client", "count_tokens", "tokens_count"}
)


def token_methods(live_class: type) -> dict[str, Callable[..., Any]]:
    """The counters for a class of models, by name; none for a class that counts inside the process."""
    methods: dict[str, Callable[..., Any]] = {
        "get_num_tokens": _get_num_tokens,
        "get_num_tokens_from_messages": _get_num_tokens_from_messages,
    }
    return {name: method for name, method in methods.items() if is_remote_counter(getattr(live_class, name, None))}


def is_remote_counter(method: Any) -> bool:
    """Whether a method of a model counts tokens through the model's client."""
    code = getattr(inspect.unwrap(method), "__code__", None) if callable(method) else None
    return code is not None and not _REMOTE_NAMES.isdisjoint(code.co_names)


def _get_num_tokens(self: Any, text: Any, **kwargs: Any) -> Any:
    __tracebackhide__ = True
    inputs = InterceptedInputs(self, "tokens", [{"text": to_tagged(text)}], kwargs)
    return _count(inputs, "get_num_tokens", text, kwargs)


def _get_num_tokens_from_messages(self: Any, messages: Any, *args: Any, **kwargs: Any) -> Any:
    __tracebackhide__ = True
    tools = args[0] if args else kwargs.get("tools")
    options = {name: value for name, value in kwargs.items() if name != "tools"}
    inputs = InterceptedInputs(self, "tokens", [messages_input(messages, tools)], options)
    return _count(inputs, "get_num_tokens_from_messages", messages, {**kwargs, **({"tools": tools} if args else {})})


def _count(inputs: InterceptedInputs, name: str, content: Any, kwargs: dict[str, Any]) -> Any:
    __tracebackhide__ = True
    inputs.find()
    inputs.replay()
    if not inputs.missing:
        (response,) = inputs.responses
        return None if response is None else response.value()
    with inputs.record() as (model, captures):
        count = live.call(captures[0], getattr(model, name), content, **kwargs)
        captures[0].finish_value(count)
        return count
