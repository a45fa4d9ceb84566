"""PromptLayer's endpoints, as functions of the workspace."""

from __future__ import annotations

import re
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from pydantic import BaseModel, TypeAdapter, ValidationError

from plsync.testing import schema
from plsync.testing.registry import Registry, render
from plsync.testing.workspace import JSON, NotFound, Workspace

Answer = tuple[int, JSON]


@dataclass(frozen=True)
class Call:
    """One request, parsed: what was asked of which thing."""

    body: Any
    identifier: str
    query: Mapping[str, str]


class Routes:
    """Every endpoint the stand-in knows, by method and path."""

    def __init__(self, workspace: Workspace, registry: Registry, search_per_minute: int | None) -> None:
        """Serve this workspace. ``search_per_minute``: answer 429 beyond it (PromptLayer documents 10)."""
        self._workspace = workspace
        self._registry = registry
        self._search_per_minute = search_per_minute
        self._searches: deque[float] = deque()
        public = "/api/public/v2"
        self._table: list[tuple[str, re.Pattern[str], Callable[[Call], Answer]]] = [
            (method, re.compile(path), endpoint)
            for method, path, endpoint in (
                ("POST", "/spans-bulk", self._spans_bulk),
                ("POST", "/log-request", self._log_request),
                ("GET", public + "/traces/([^/]+)", self._trace),
                ("POST", public + "/traces/([^/]+)/close", self._close_trace),
                ("POST", public + "/requests/search", self._search),
                ("GET", public + "/requests/([^/]+)", self._request),
                ("POST", "/(?:rest/|library-)track-score", self._track_score),
                ("POST", "/(?:rest/|library-)track-metadata", self._track_metadata),
                ("POST", "/(?:rest/|library-)track-prompt", self._track_prompt),
                ("POST", "/(?:rest/)?track-group", self._track_group),
                ("POST", "/create-group", self._create_group),
                ("POST", "/prompt-templates/([^/]+)", self._rendered_template),
                ("GET", "/prompt-templates/([^/]+)", self._raw_template),
            )
        ]

    def dispatch(self, method: str, path: str, body: Any, query: Mapping[str, str]) -> Answer:
        """Answer one authorised request."""
        methods = set()
        for known_method, pattern, endpoint in self._table:
            match = pattern.fullmatch(path)
            if match is None:
                continue
            methods.add(known_method)
            if known_method == method:
                identifier = unquote(match[1]) if match.groups() else ""
                return self._answer(endpoint, Call(body, identifier, query))
        return (405, failure("Method not allowed")) if methods else (404, failure("Not found"))

    @staticmethod
    def _answer(endpoint: Callable[[Call], Answer], call: Call) -> Answer:
        try:
            return endpoint(call)
        except NotFound as error:
            return 404, failure(str(error))
        except ValidationError as error:
            detail = [{key: problem[key] for key in ("loc", "msg", "type")} for problem in error.errors()]
            return 422, {"detail": detail}

    def _spans_bulk(self, call: Call) -> Answer:
        bulk = schema.SpansBulk.model_validate(call.body)
        pairs = zip(bulk.spans, call.body["spans"], strict=True)
        return 201, self._workspace.add_spans(pairs, bulk.close_after, self._registry.names())

    def _log_request(self, call: Call) -> Answer:
        request = schema.LogRequest.model_validate(call.body)
        if request.prompt_name:
            self._registry.get(request.prompt_name, version=request.prompt_version_number)
        log = self._workspace.add_log(call.body)
        if request.score:
            self._workspace.score(log["id"], call.body.get("score_name") or "default", request.score)
        answer = {"id": log["id"], "prompt_version": None, "status": request.status}
        return 201, answer | {"error_type": request.error_type, "error_message": request.error_message}

    def _trace(self, call: Call) -> Answer:
        spans = self._workspace.trace(call.identifier)
        return 200, {"success": True, "trace_id": call.identifier, "spans": spans}

    def _close_trace(self, call: Call) -> Answer:
        self._workspace.trace(call.identifier)
        if call.identifier in self._workspace.closed_traces:
            return 409, failure("Trace already closed")
        self._workspace.closed_traces.add(call.identifier)
        closure = {"id": str(uuid.uuid4()), "workspace_id": 1, "trace_id": call.identifier, "status": "closed"}
        return 201, {"success": True, "closure": closure}

    def _request(self, call: Call) -> Answer:
        log = self._workspace.log(call.identifier)
        tokens = {key: log.get(key) or 0 for key in ("input_tokens", "output_tokens", "price")}
        copied = {key: log.get(key) for key in ("provider", "model", "request_start_time", "request_end_time")}
        blueprint = {"prompt_template": log["input"], "metadata": {"model": {"name": log["model"]}}}
        answer = {"success": True, "request_id": log["id"], "prompt_blueprint": blueprint, "trace_id": log["trace_id"]}
        return 200, answer | copied | tokens

    def _search(self, call: Call) -> Answer:
        if self._search_per_minute is not None:
            now = time.monotonic()
            while self._searches and now - self._searches[0] > 60:
                self._searches.popleft()
            if len(self._searches) >= self._search_per_minute:
                return 429, failure("Rate limit exceeded. Please retry later.")
            self._searches.append(now)
        search = schema.Search.model_validate(call.body)
        found = self._workspace.search(search.filter_group)
        first = (search.page - 1) * search.per_page
        items = [
            {
                "id": log["id"],
                "engine": log["model"],
                "metadata": [{key: value} for key, value in log["metadata"].items()],
            }
            for log in found[first : first + search.per_page]
        ]
        pages = -(-len(found) // search.per_page)
        return 200, {"success": True, "items": items, "page": search.page, "pages": pages, "total": len(found)}

    def _track_score(self, call: Call) -> Answer:
        track = schema.TrackScore.model_validate(call.body)
        self._workspace.score(track.request_id, track.name, track.score)
        return 200, _tracked("score")

    def _track_metadata(self, call: Call) -> Answer:
        track = schema.TrackMetadata.model_validate(call.body)
        self._workspace.add_metadata(track.request_id, track.metadata)
        return 200, _tracked("metadata")

    def _track_prompt(self, call: Call) -> Answer:
        track = schema.TrackPrompt.model_validate(call.body)
        version = int(track.version) if track.version is not None else None
        row = self._registry.get(track.prompt_name, version=version, label=track.label)
        link = {"prompt_name": row["prompt_name"], "version": row["version"]}
        self._workspace.link_prompt(track.request_id, link | {"input_variables": track.prompt_input_variables})
        return 200, _tracked("prompt")

    def _track_group(self, call: Call) -> Answer:
        track = schema.TrackGroup.model_validate(call.body)
        self._workspace.join_group(track.request_id, track.group_id)
        return 200, _tracked("group")

    def _create_group(self, _call: Call) -> Answer:
        return 200, {"success": True, "id": self._workspace.add_group()}

    def _rendered_template(self, call: Call) -> Answer:
        wanted = _TemplateRequest.validate_python(call.body or {})
        row = self._registry.get(call.identifier, version=wanted.version, label=wanted.label)
        if not wanted.skip_input_variable_rendering and wanted.input_variables:
            row["prompt_template"] = render(row["prompt_template"], wanted.input_variables)
        return 200, row | {"provider_base_url": None, "warning": None}

    def _raw_template(self, call: Call) -> Answer:
        version = call.query.get("version")
        if version is not None and not version.isdecimal():
            return 422, {"detail": [{"loc": ["query", "version"], "msg": "not a number", "type": "int_parsing"}]}
        number = int(version) if version is not None else None
        row = self._registry.get(call.identifier, version=number, label=call.query.get("label"))
        return 200, {"success": True, **row}


class _Template(BaseModel):
    version: int | None = None
    label: str | None = None
    input_variables: dict[str, str] | None = None
    skip_input_variable_rendering: bool = False


_TemplateRequest = TypeAdapter(_Template)


def failure(message: str) -> JSON:
    """PromptLayer's ``ErrorResponse``, which carries the text under both of its names."""
    return {"success": False, "message": message, "error": message}


def _tracked(what: str) -> JSON:
    return {"success": True, "message": f"Tracked {what}"}
