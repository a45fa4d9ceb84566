"""Maps tools, tool choice and functions of each provider to a blueprint's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from plsync.promptlayer.mapping.json_values import JSON, as_dict, as_list, json_text, string, text

__all__ = ["tools", "unknown_tools"]

_BUILT_IN = {
    "web_search": "web_search",
    "google_search": "web_search",
    "file_search": "file_search",
    "code_interpreter": "code_interpreter",
    "code_execution": "code_interpreter",
    "image_generation": "image_generation",
    "google_maps": "google_maps",
    "url_context": "url_context",
    "mcp": "mcp",
    "bash": "bash",
    "shell": "shell",
    "local_shell": "shell",
    "apply_patch": "apply_patch",
    "text_editor": "text_editor",
}
"""PromptLayer's name of each provider-run tool, by the start of the provider's name (``web_search_20250305``)."""

_TOOL_PARAMETERS = frozenset({"tools", "tool_choice", "tool_config", "toolConfig", "functions", "function_call"})

_SAME = {"any": "required", "tool": "required", "required": "required", "auto": "auto", "none": "none"}


def tools(params: JSON, provider: str) -> JSON:
    """The ``tools``, ``tool_choice``, ``functions`` and ``function_call`` of a chat prompt, if the call has them.

    >>> tools({"tool_choice": {"type": "any"}}, "anthropic")
    {'tool_choice': 'required'}
    """
    built: JSON = {}
    if _TOOL_PARAMETERS.isdisjoint(params):
        return built
    config = as_dict(params.get("toolConfig"))
    items = as_list(params.get("tools")) or as_list(config.get("tools"))
    known = [tool for item in items for tool in _tools(item, provider)]
    if known:
        built["tools"] = known
    choice = next((c for c in (params.get("tool_choice"), config.get("toolChoice")) if c is not None), None)
    if choice is None:
        choice = _google_choice(params.get("tool_config"))
    if choice is not None:
        built["tool_choice"] = _tool_choice(choice)
    functions = [function for function in map(_function, as_list(params.get("functions"))) if function is not None]
    if functions:
        built["functions"] = functions
    call = params.get("function_call")
    if call is not None:
        name = string(as_dict(call).get("name"))
        built["function_call"] = {"name": name} if name else text(call)
    return built


def unknown_tools(params: JSON) -> list[Any]:
    """The tools for which PromptLayer has no format."""
    return [item for item in as_list(params.get("tools")) if not any(True for _ in _tools(item, ""))]


def _tools(item: Any, provider: str) -> Iterator[JSON]:
    """The tools of one item. An item of Google or Bedrock may hold several."""
    tool = as_dict(item)
    declared = as_list(tool.get("function_declarations")) + as_list(tool.get("functionDeclarations"))
    for declaration in declared:
        function = _function(declaration)
        if function is not None:
            yield {"type": "function", "function": function}
    function = None if declared else _function_of(tool)
    if function is not None:
        yield {"type": "function", "function": function}
        return
    kind = string(tool.get("type"))
    for key in tool if kind is None else (kind,):
        built_in = next((name for start, name in _BUILT_IN.items() if key.startswith(start)), None)
        if built_in is not None:
            own = string(tool.get("name")) or key
            names = {"id": key, "name": own, "description": text(tool.get("description")), "provider": provider}
            yield {**names, "type": built_in, "config": tool}


def _function_of(tool: JSON) -> JSON | None:
    """The function of OpenAI (nested, or flat in its Responses API), of Anthropic, or of Bedrock's ``toolSpec``."""
    for key in ("function", "custom", "toolSpec"):
        if isinstance(tool.get(key), dict):
            return _function(tool[key])
    return _function(tool) if tool.get("type") in (None, "function", "custom") else None


def _function(item: Any) -> JSON | None:
    fields = as_dict(item)
    name = string(fields.get("name"))
    if name is None:
        return None
    schema = fields.get("parameters") or fields.get("input_schema") or as_dict(fields.get("inputSchema")).get("json")
    if not isinstance(schema, dict):
        schema = {"type": "object", "properties": as_dict(fields.get("parameter_definitions"))}
    function: JSON = {"name": name, "description": text(fields.get("description")), "parameters": schema}
    return {**function, "strict": True} if fields.get("strict") is True else function


def _tool_choice(choice: Any) -> str | JSON:
    """A blueprint's tool choice. OpenAI and Anthropic have a ``type``; Bedrock's only key is the choice."""
    if not isinstance(choice, dict):
        return "required" if choice is True else _SAME.get(text(choice), text(choice))
    for named in (choice, *(as_dict(choice.get(key)) for key in ("function", "custom", "tool"))):
        name = string(named.get("name"))
        if name is not None:
            return {"type": "function", "function": {"name": name}}
    kind = string(choice.get("type")) or (next(iter(choice)) if len(choice) == 1 else None)
    if kind == "allowed_tools":
        kind = string(choice.get("mode")) or string(as_dict(choice.get("allowed_tools")).get("mode")) or kind
    return json_text(choice) if kind is None else _SAME.get(kind, kind)


def _google_choice(config: Any) -> Any:
    """Google's ``tool_config`` in OpenAI's format."""
    calling = as_dict(config)
    calling = as_dict(calling.get("function_calling_config") or calling.get("functionCallingConfig"))
    names = as_list(calling.get("allowed_function_names") or calling.get("allowedFunctionNames"))
    if len(names) == 1 and string(names[0]):
        return {"name": names[0]}
    mode = string(calling.get("mode"))
    return None if mode is None else mode.lower()
