"""``/track-request``: logs of PromptLayer's SDK for ``run()``, and logs of the old LangChain handler."""

from __future__ import annotations

from typing import Any

import orjson

from plsync.testing.endpoints.http import Request, Response, json_response, parse_json
from plsync.testing.endpoints.routes import Route
from plsync.testing.schema import check
from plsync.testing.state.registry import Registry
from plsync.testing.state.storage import JSON
from plsync.testing.state.workspace import Workspace

__all__ = ["TrackRequest"]

_COPIED = ("tags", "metadata", "prompt_id", "prompt_input_variables", "status", "error_type", "error_message")


class TrackRequest:
    """``/track-request`` and ``/rest/track-request``.

    PromptLayer parses the request and the response of every provider. The stand-in parses texts of OpenAI, Anthropic
    and LangChain. The log of another call has the raw ``kwargs`` and ``request_response``.
    """

    def __init__(self, workspace: Workspace, registry: Registry) -> None:
        self._workspace = workspace
        self._registry = registry

    def routes(self) -> list[Route]:
        """The paths of these endpoints."""
        return [("POST", "/(?:rest/)?track-request", self._track)]

    def _track(self, request: Request) -> Response:
        track = check("TrackRequest", parse_json(request.body))
        arguments, response = track["kwargs"], track["request_response"]
        log: JSON = {
            "provider": track.get("provider_type") or "unknown",
            "model": arguments.get("model") or track["function_name"],
            "function_name": track["function_name"],
            "input": _prompt(_input(track), arguments.get("system")),
            "output": _prompt(_output(response), None),
            "kwargs": arguments,
            "request_response": response,
            **{key: track[key] for key in ("request_start_time", "request_end_time")},
            **{key: track[key] for key in _COPIED if track.get(key) is not None},
        }
        log_id = self._workspace.add_log(orjson.dumps(log), span_id=track.get("span_id"))
        if track.get("group_id") is not None:
            self._workspace.join_group(log_id, track["group_id"])
        if track.get("prompt_id") is not None:
            row = self._registry.get(str(track["prompt_id"]), version=track.get("prompt_version"))
            link = {"prompt_name": row["prompt_name"], "version": row["version"]}
            variables = track.get("prompt_input_variables") or {}
            self._workspace.link_prompt(log_id, {**link, "input_variables": variables})
        blueprint = {"prompt_template": log["input"]} if track.get("return_prompt_blueprint") else None
        created = {"success": True, "request_id": log_id, "prompt_blueprint": blueprint}
        return json_response({**created, "message": "Request tracked successfully"})


def _input(track: JSON) -> Any:
    """The messages, the prompt or the arguments of a call."""
    return track["kwargs"].get("messages") or track["kwargs"].get("prompt") or track.get("args")


def _output(response: Any) -> Any:
    """The text or messages of a response: OpenAI's choices, Anthropic's message, LangChain's text or messages."""
    if not isinstance(response, dict):
        return response
    choices = response.get("choices")
    if isinstance(choices, list):
        return [choice.get("message") or choice.get("text") for choice in choices if isinstance(choice, dict)]
    return [response] if "content" in response else response.get("text")


def _prompt(content: Any, system: Any) -> JSON:
    items = [item for item in (content if isinstance(content, list) else [content]) if item]
    if all(isinstance(item, str) for item in items) and not system:
        return {"type": "completion", "content": [_text(item) for item in items]}
    first = [{"role": "system", "content": system}] if system else []
    return {"type": "chat", "messages": [_message(item) for item in [*first, *items]]}


def _message(item: Any) -> JSON:
    message = item if isinstance(item, dict) else {"content": item}
    content = message.get("content")
    blocks = [_text(content)] if isinstance(content, str) else content or []
    calls = {"tool_calls": message["tool_calls"]} if message.get("tool_calls") else {}
    return {"role": message.get("role", "assistant"), "content": blocks, **calls}


def _text(content: Any) -> JSON:
    return {"type": "text", "text": str(content)}
