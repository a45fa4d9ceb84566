"""Endpoints that store, return and search request logs."""

from __future__ import annotations

import time
from collections import deque

from plsync.testing.endpoints.http import Request, Response, error_response, json_response, parse_json
from plsync.testing.endpoints.routes import Route
from plsync.testing.schema import check
from plsync.testing.state.registry import Registry
from plsync.testing.state.search import UnsupportedQuery
from plsync.testing.state.workspace import JSON, Workspace

__all__ = ["Logs"]


class Logs:
    """``/log-request``, and ``/api/public/v2/requests``."""

    def __init__(
        self, workspace: Workspace, registry: Registry, *, validate: bool, search_per_minute: int | None
    ) -> None:
        self._workspace = workspace
        self._registry = registry
        self._validate = validate
        self._search_per_minute = search_per_minute
        self._searches: deque[float] = deque()

    def routes(self) -> list[Route]:
        """The paths of these endpoints."""
        requests = "/api/public/v2/requests"
        return [
            ("POST", "/log-request", self._log_request),
            ("POST", f"{requests}/search", self._search),
            ("GET", f"{requests}/([^/]+)", self._request),
        ]

    def _log_request(self, request: Request) -> Response:
        log = parse_json(request.body)
        if self._validate or not isinstance(log, dict):
            check("LogRequest", log)
        if log.get("prompt_name"):
            self._registry.get(log["prompt_name"], version=log.get("prompt_version_number"))
        log_id = self._workspace.add_log(request.body)
        if log.get("score"):
            self._workspace.score(log_id, log.get("score_name") or "default", log["score"])
        created = {"id": log_id, "prompt_version": None, "status": log.get("status", "SUCCESS")}
        return json_response(created | {key: log.get(key) for key in ("error_type", "error_message")}, 201)

    def _request(self, request: Request) -> Response:
        log = self._workspace.log(request.identifier)
        numbers = {key: log.get(key) or 0 for key in ("input_tokens", "output_tokens", "price")}
        copied = {key: log.get(key) for key in ("provider", "model", "request_start_time", "request_end_time")}
        model = {"provider": log.get("provider"), "name": log.get("model"), "parameters": log.get("parameters") or {}}
        blueprint = {"prompt_template": log.get("input"), "metadata": {"model": model}, "inference_client_name": None}
        found: JSON = {"success": True, "request_id": log["id"], "prompt_blueprint": blueprint}
        tokens = {"tokens": numbers["input_tokens"] + numbers["output_tokens"]}
        return json_response(found | copied | numbers | tokens | {"trace_id": log["trace_id"]})

    def _search(self, request: Request) -> Response:
        if self._is_over_limit():
            return error_response(429, "Rate limit exceeded. Please retry later.")
        search = parse_json(request.body)
        check("Search", search)
        try:
            found = self._workspace.search(search)
        except UnsupportedQuery as error:
            return error_response(400, str(error))
        page, per_page = search.get("page") or 1, search.get("per_page") or 10
        pages = -(-len(found) // per_page)
        items = [self._listed(log) for log in found[(page - 1) * per_page : page * per_page]]
        listing: JSON = {"success": True, "items": items, "page": page, "pages": pages, "per_page": per_page}
        neighbours = {"has_next": page < pages, "has_prev": page > 1}
        numbers = {"next_num": page + 1 if page < pages else None, "prev_num": page - 1 if page > 1 else None}
        return json_response(listing | {"total": len(found)} | neighbours | numbers)

    def _listed(self, log: JSON) -> JSON:
        scores = self._workspace.scores.get(log["id"], {})
        return {
            "id": log["id"],
            "engine": log.get("model"),
            "provider_type": log.get("provider"),
            **{key: log.get(key) or 0 for key in ("input_tokens", "output_tokens", "price")},
            **{key: log.get(key) for key in ("request_start_time", "request_end_time")},
            "tags_array": log.get("tags") or [],
            "metadata": [{key: value} for key, value in log["metadata"].items()],
            "scores": [{"name": name, "score": score} for name, score in scores.items()],
            "prompt_name": self._workspace.prompt_links.get(log["id"], {}).get("prompt_name"),
        }

    def _is_over_limit(self) -> bool:
        if self._search_per_minute is None:
            return False
        now = time.monotonic()
        while self._searches and now - self._searches[0] > 60:
            self._searches.popleft()
        if len(self._searches) >= self._search_per_minute:
            return True
        self._searches.append(now)
        return False
