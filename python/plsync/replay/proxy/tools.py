"""The methods that replace methods of a retriever or a tool in its proxy class."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from plsync.replay.proxy import live
from plsync.replay.proxy.inputs import InterceptedInputs
from plsync.replay.proxy.proxy_class import accepts
from plsync.replay.request.request import to_tagged

__all__ = ["is_retriever", "is_tool", "retriever_methods", "tool_methods"]

# Arguments that LangChain passes to a tool, beside the arguments of the model.
_PASSED: Final = frozenset({"run_manager", "config", "callbacks"})


def is_retriever(cls: type) -> bool:
    """Whether a class is a retriever of LangChain."""
    return _derives(cls, "langchain_core.retrievers", "BaseRetriever")


def is_tool(cls: type) -> bool:
    """Whether a class is a tool of LangChain."""
    return _derives(cls, "langchain_core.tools.base", "BaseTool")


def _derives(cls: type, module: str, name: str) -> bool:
    # A program that has such an object has imported its module.
    base = getattr(sys.modules.get(module), name, None)
    return isinstance(base, type) and issubclass(cls, base)


def retriever_methods() -> dict[str, Callable[..., Any]]:
    """The methods for any class of retrievers, by name."""
    return {"_get_relevant_documents": _get_documents, "_aget_relevant_documents": _aget_documents}


def tool_methods(live_class: Any) -> dict[str, Callable[..., Any]]:
    """The methods for a class of tools, by name. LangChain reads the signature of the live method."""
    return {
        "_run": functools.wraps(live_class._run)(_run),
        "_arun": functools.wraps(live_class._arun)(_arun),
    }


def _get_documents(self: Any, query: Any, *, run_manager: Any = None, **kwargs: Any) -> Any:
    __tracebackhide__ = True
    inputs = InterceptedInputs(self, "retriever", [{"query": to_tagged(query)}], kwargs)
    return _call(inputs, "_get_relevant_documents", (query,), kwargs, run_manager)


async def _aget_documents(self: Any, query: Any, *, run_manager: Any = None, **kwargs: Any) -> Any:
    __tracebackhide__ = True
    inputs = InterceptedInputs(self, "retriever", [{"query": to_tagged(query)}], kwargs)
    return await _acall(inputs, "_aget_relevant_documents", (query,), kwargs, run_manager)


def _run(self: Any, *args: Any, **kwargs: Any) -> Any:
    __tracebackhide__ = True
    return _call(_tool_inputs(self, args, kwargs), "_run", args, kwargs)


async def _arun(self: Any, *args: Any, **kwargs: Any) -> Any:
    __tracebackhide__ = True
    return await _acall(_tool_inputs(self, args, kwargs), "_arun", args, kwargs)


def _tool_inputs(tool: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> InterceptedInputs:
    """The request of a tool's call: the arguments that a model supplies. Injected state varies between runs."""
    visible = _visible_arguments(tool)
    given = {name: value for name, value in kwargs.items() if name not in _PASSED and (name in visible or not visible)}
    content = {"tool": tool.name, "arguments": to_tagged(given), **({"args": to_tagged(list(args))} if args else {})}
    return InterceptedInputs(tool, "tool", [content], {})


def _visible_arguments(tool: Any) -> set[str]:
    try:
        schema = tool.tool_call_schema
        return set(schema["properties"] if isinstance(schema, dict) else schema.model_fields)
    except Exception:  # a schema of pydantic 1, or one that cannot be made
        return set()


def _call(inputs: InterceptedInputs, name: str, args: Any, kwargs: Mapping[str, Any], manager: Any = None) -> Any:
    __tracebackhide__ = True
    inputs.find()
    inputs.replay()
    if (served := _served(inputs)) is not None:
        return served[0]
    with inputs.record() as (source, captures):
        method = _with_manager(getattr(source, name), manager)
        value = live.call(captures[0], method, *args, **kwargs)
        captures[0].finish_value(value)
        return value


async def _acall(
    inputs: InterceptedInputs, name: str, args: Any, kwargs: Mapping[str, Any], manager: Any = None
) -> Any:
    __tracebackhide__ = True
    inputs.find(can_wait=True)
    await inputs.areplay()
    if (served := _served(inputs)) is not None:
        return served[0]
    async with inputs.arecord() as (source, captures):
        method = _with_manager(getattr(source, name), manager)
        value = await live.acall(captures[0], method, *args, **kwargs)
        captures[0].finish_value(value)
        return value


def _served(inputs: InterceptedInputs) -> tuple[Any] | None:
    (response,) = inputs.responses
    return None if response is None else (response.value(),)


def _with_manager(method: Callable[..., Any], manager: Any) -> Callable[..., Any]:
    """The method with its callback manager, if it takes one."""
    if manager is None or not accepts(inspect.unwrap(method), "run_manager"):
        return method
    return functools.partial(method, run_manager=manager)
