"""Endpoints for follow-ups to a request: scores, metadata, prompt links, groups. REST and SDK paths."""

from __future__ import annotations

from plsync.testing.endpoints.http import Request, Response, json_response, parse_json
from plsync.testing.endpoints.routes import Route
from plsync.testing.schema import check
from plsync.testing.state.registry import Registry
from plsync.testing.state.workspace import JSON, Workspace

__all__ = ["FollowUps"]


class FollowUps:
    """``/rest/track-*``, ``/library-track-*``, ``/track-group`` and ``/create-group``."""

    def __init__(self, workspace: Workspace, registry: Registry) -> None:
        self._workspace = workspace
        self._registry = registry

    def routes(self) -> list[Route]:
        """The paths of these endpoints."""
        return [
            ("POST", "/(?:rest/|library-)track-score", self._score),
            ("POST", "/(?:rest/|library-)track-metadata", self._metadata),
            ("POST", "/(?:rest/|library-)track-prompt", self._prompt),
            ("POST", "/(?:rest/)?track-group", self._group),
            ("POST", "/create-group", self._create_group),
        ]

    def _score(self, request: Request) -> Response:
        track = _read("TrackScore", request)
        name = track.get("name") or track.get("score_name") or "default"
        self._workspace.score(track["request_id"], name, track["score"])
        return _tracked("Score")

    def _metadata(self, request: Request) -> Response:
        track = _read("TrackMetadata", request)
        self._workspace.add_metadata(track["request_id"], track["metadata"])
        return _tracked("Metadata")

    def _prompt(self, request: Request) -> Response:
        track = _read("TrackPrompt", request)
        version = track.get("version")
        row = self._registry.get(
            track["prompt_name"], version=None if version is None else int(version), label=track.get("label")
        )
        link = {"prompt_name": row["prompt_name"], "version": row["version"]}
        variables = track.get("prompt_input_variables") or {}
        self._workspace.link_prompt(track["request_id"], {**link, "input_variables": variables})
        return _tracked("Prompt")

    def _group(self, request: Request) -> Response:
        track = _read("TrackGroup", request)
        self._workspace.join_group(track["request_id"], track["group_id"])
        return _tracked("Group")

    def _create_group(self, _request: Request) -> Response:
        return json_response({"success": True, "id": self._workspace.add_group()})


def _read(name: str, request: Request) -> JSON:
    body: JSON = check(name, parse_json(request.body))
    return body


def _tracked(subject: str) -> Response:
    return json_response({"success": True, "message": f"{subject} tracked successfully"})
