"""``/track-request``: the log that PromptLayer's SDK sends of what its ``run()`` did, and the old LangChain handler."""

from __future__ import annotations

from typing import Any

import orjson

from plsync.testing.endpoints.answers import Answer, Asked, ok, parse
from plsync.testing.endpoints.routes import Route
from plsync.testing.schema import check
from plsync.testing.state.keeping import JSON
from plsync.testing.state.registry import Registry
from plsync.testing.state.workspace import Workspace

__all__ = ["Tracked"]

_KEPT = ("tags", "metadata", "prompt_id", "prompt_input_variables", "status", "error_type", "error_message")


class Tracked:
    """``/track-request`` and ``/rest/track-request``.

    PromptLayer reads the request and the response in each provider's form. Here it is done for OpenAI's and
    Anthropic's texts and for LangChain's; of anything else the log has the ``kwargs`` and the ``request_response``.
    """

    def __init__(self, workspace: Workspace, registry: Registry) -> None:
        """Serve this workspace."""
        self._workspace = workspace
        self._registry = registry

    def routes(self) -> list[Route]:
        """What these endpoints answer."""
        return [("POST", "/(?:rest/)?track-request", self._track)]

    def _track(self, asked: Asked) -> Answer:
        track = check("TrackRequest", parse(asked.body))
        given, response = track["kwargs"], track["request_response"]
        log: JSON = {
            "provider": track.get("provider_type") or "unknown",
            "model": given.get("model") or track["function_name"],
            "function_name": track["function_name"],
            "input": _prompt(given.get("messages") or given.get("prompt") or track.get("args"), given.get("system")),
            "output": _prompt(_answers(response), None),
            "kwargs": given,
            "request_response": response,
            **{key: track[key] for key in ("request_start_time", "request_end_time")},
            **{key: track[key] for key in _KEPT if track.get(key) is not None},
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
        answer = {"success": True, "request_id": log_id, "prompt_blueprint": blueprint}
        return ok({**answer, "message": "Request tracked successfully"})


def _answers(response: Any) -> Any:
    """What was answered: OpenAI's choices, Anthropic's message, LangChain's text or messages."""
    if not isinstance(response, dict):
        return response
    choices = response.get("choices")
    if isinstance(choices, list):
        return [choice.get("message") or choice.get("text") for choice in choices if isinstance(choice, dict)]
    return [response] if "content" in response else response.get("text")


def _prompt(said: Any, system: Any) -> JSON:
    items = [item for item in (said if isinstance(said, list) else [said]) if item]
    if all(isinstance(item, str) for item in items) and not system:
        return {"type": "completion", "content": [_text(item) for item in items]}
    first = [{"role": "system", "content": system}] if system else []
    return {"type": "chat", "messages": [_message(item) for item in [*first, *items]]}


def _message(item: Any) -> JSON:
    given = item if isinstance(item, dict) else {"content": item}
    content = given.get("content")
    blocks = [_text(content)] if isinstance(content, str) else content or []
    calls = {"tool_calls": given["tool_calls"]} if given.get("tool_calls") else {}
    return {"role": given.get("role", "assistant"), "content": blocks, **calls}


def _text(words: Any) -> JSON:
    return {"type": "text", "text": str(words)}
