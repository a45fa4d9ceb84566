"""The mapping of parameters, tools and tool choice of every provider."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.request_log import LoggedCall, log_with


def test_parameters_leave_secrets_out() -> None:
    params = {"model": "m", "temperature": 0.5, "max_tokens": 3, "openai_api_key": "k", "auth_token": "t", "stop": None}
    assert LoggedCall(start={"params": params}).log()["parameters"] == {"temperature": 0.5, "max_tokens": 3}
    passed_on = {"model_kwargs": {"extra_headers": {"x": "k"}, "seed": 1}}
    assert LoggedCall(start={"params": passed_on}).log()["parameters"] == {"model_kwargs": {"seed": 1}}


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "function": {"name": "add", "description": "d", "parameters": {"type": "object"}}},
        {"type": "function", "name": "add", "description": "d", "parameters": {"type": "object"}},
        {"name": "add", "description": "d", "input_schema": {"type": "object"}},
        {"type": "custom", "name": "add", "description": "d", "input_schema": {"type": "object"}},
        {"function_declarations": [{"name": "add", "description": "d", "parameters": {"type": "object"}}]},
        {"toolSpec": {"name": "add", "description": "d", "inputSchema": {"json": {"type": "object"}}}},
    ],
)
def test_tools_of_every_shape_become_function_tools(tool: dict[str, Any]) -> None:
    prompt = LoggedCall(start={"params": {"tools": [tool], "tool_choice": "auto"}}).log()["input"]
    function = {"name": "add", "description": "d", "parameters": {"type": "object"}}
    assert (prompt["tools"], prompt["tool_choice"]) == ([{"type": "function", "function": function}], "auto")


@pytest.mark.parametrize(
    ("tool", "kind"),
    [
        ({"type": "web_search_20250305", "name": "web_search", "max_uses": 3}, "web_search"),
        ({"type": "web_search_preview"}, "web_search"),
        ({"type": "file_search", "vector_store_ids": ["v"]}, "file_search"),
        ({"type": "code_interpreter", "container": {"type": "auto"}}, "code_interpreter"),
        ({"type": "code_execution_20250825", "name": "code_execution"}, "code_interpreter"),
        ({"type": "image_generation"}, "image_generation"),
        ({"type": "mcp", "server_label": "dice", "server_url": "http://d"}, "mcp"),
        ({"type": "bash_20250124", "name": "bash"}, "bash"),
        ({"type": "local_shell"}, "shell"),
        ({"type": "apply_patch"}, "apply_patch"),
        ({"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"}, "text_editor"),
        ({"google_search": {}}, "web_search"),
        ({"google_maps": {}}, "google_maps"),
        ({"url_context": {}}, "url_context"),
        ({"code_execution": {}}, "code_interpreter"),
    ],
)
def test_a_tool_the_provider_runs_is_built_in(tool: dict[str, Any], kind: str) -> None:
    (built_in,) = log_with(tools=[tool], provider="anthropic")["input"]["tools"]
    assert (built_in["type"], built_in["provider"], built_in["config"]) == (kind, "anthropic", tool)
    assert built_in["id"] and built_in["name"]


def test_google_declares_several_functions_in_one_tool() -> None:
    tools = [{"function_declarations": [{"name": "a"}, {"name": "b"}]}, {"google_search": {}}]
    built = log_with(tools=tools)["input"]["tools"]
    assert [tool.get("function", tool)["name"] for tool in built] == ["a", "b", "google_search"]


def test_a_tool_without_a_schema_has_no_parameters() -> None:
    (tool,) = log_with(tools=[{"type": "custom", "custom": {"name": "f"}}])["input"]["tools"]
    assert tool["function"] == {"name": "f", "description": "", "parameters": {"type": "object", "properties": {}}}


def test_a_strict_tool_stays_strict() -> None:
    (tool,) = log_with(tools=[{"type": "function", "function": {"name": "f", "strict": True}}])["input"]["tools"]
    assert tool["function"]["strict"] is True


def test_functions_in_openais_older_form_are_kept() -> None:
    prompt = log_with(functions=[{"name": "f", "parameters": {}}, 7], function_call={"name": "f"})["input"]
    assert ([function["name"] for function in prompt["functions"]], prompt["function_call"]) == (["f"], {"name": "f"})
    assert log_with(functions=[{"name": "f"}], function_call="auto")["input"]["function_call"] == "auto"


def test_an_unknown_tool_stays_among_the_parameters() -> None:
    log = LoggedCall(start={"params": {"tools": [{"type": "teleport"}]}}).log()
    assert log["parameters"]["tools"] == [{"type": "teleport"}]


FORCED = {"type": "function", "function": {"name": "add"}}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ("any", "required"),
        (True, "required"),
        (FORCED, FORCED),
        ({"type": "function", "name": "add"}, FORCED),
        ({"type": "tool", "name": "add"}, FORCED),
        ({"tool": {"name": "add"}}, FORCED),
        ({"type": "custom", "custom": {"name": "add"}}, FORCED),
        ({"type": "auto", "disable_parallel_tool_use": True}, "auto"),
        ({"type": "any"}, "required"),
        ({"auto": {}}, "auto"),
        ({"any": {}}, "required"),
        ({"type": "allowed_tools", "mode": "required", "tools": []}, "required"),
        ({"type": "web_search_preview"}, "web_search_preview"),
        ({"a": 1, "b": 2}, '{"a":1,"b":2}'),
    ],
)
def test_a_tool_choice_of_any_provider_is_mapped_to_openais(choice: Any, expected: Any) -> None:
    assert log_with(tool_choice=choice)["input"]["tool_choice"] == expected


@pytest.mark.parametrize(
    ("calling", "expected"),
    [
        ({"mode": "ANY", "allowed_function_names": ["add"]}, FORCED),
        ({"mode": "ANY", "allowed_function_names": ["add", "sub"]}, "required"),
        ({"mode": "AUTO"}, "auto"),
        ({"mode": "NONE"}, "none"),
    ],
)
def test_googles_tool_config_is_mapped_to_a_tool_choice(calling: dict[str, Any], expected: Any) -> None:
    assert log_with(tool_config={"function_calling_config": calling})["input"]["tool_choice"] == expected


def test_bedrocks_tool_config_holds_tools_and_choice() -> None:
    tools = {"tools": [{"toolSpec": {"name": "add"}}], "toolChoice": {"tool": {"name": "add"}}}
    prompt = log_with(toolConfig=tools)["input"]
    assert (prompt["tools"][0]["function"]["name"], prompt["tool_choice"]) == ("add", FORCED)


def test_a_response_format_is_a_parameter() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "Joke", "schema": {"type": "object"}}}
    assert log_with(response_format=form)["parameters"]["response_format"] == form


def test_a_structured_output_of_langchain_alone_becomes_a_response_format() -> None:
    output_format = {"kwargs": {"method": "json_mode"}, "schema": {"title": "Joke", "type": "object"}}
    start = {"options": {"ls_structured_output_format": output_format}}
    form = {"type": "json_schema", "json_schema": {"name": "Joke", "schema": output_format["schema"]}}
    assert LoggedCall(start=start).log()["parameters"]["response_format"] == form
    parameters = LoggedCall(start={**start, "params": {"format": {"type": "object"}}}).log()["parameters"]
    assert parameters == {"format": {"type": "object"}}


def test_parameters_that_a_text_call_overrides_are_read_from_its_metadata() -> None:
    metadata = {"ls_temperature": 0.5, "ls_max_tokens": 7, "ls_provider": "openai"}
    log = LoggedCall(start={"params": {"temperature": 0.1}, "metadata": metadata, "options": {"stop": ["x"]}}).log()
    assert log["parameters"] == {"temperature": 0.1, "max_tokens": 7, "stop": ["x"]}
