"""Endpoints that add something to a request: scores, metadata, prompts, groups; the REST ones and the SDK's."""

from __future__ import annotations

from plsync.testing.endpoints.answers import Answer, Asked, ok, parse
from plsync.testing.endpoints.routes import Route
from plsync.testing.schema import check
from plsync.testing.state.registry import Registry
from plsync.testing.state.workspace import JSON, Workspace

__all__ = ["FollowUps"]


class FollowUps:
    """``/rest/track-*``, ``/library-track-*``, ``/track-group`` and ``/create-group``."""

    def __init__(self, workspace: Workspace, registry: Registry) -> None:
        """Serve this workspace."""
        self._workspace = workspace
        self._registry = registry

    def routes(self) -> list[Route]:
        """What these endpoints answer."""
        return [
            ("POST", "/(?:rest/|library-)track-score", self._score),
            ("POST", "/(?:rest/|library-)track-metadata", self._metadata),
            ("POST", "/(?:rest/|library-)track-prompt", self._prompt),
            ("POST", "/(?:rest/)?track-group", self._group),
            ("POST", "/create-group", self._create_group),
        ]

    def _score(self, asked: Asked) -> Answer:
        track = _read("TrackScore", asked)
        name = track.get("name") or track.get("score_name") or "default"
        self._workspace.score(track["request_id"], name, track["score"])
        return _tracked("Score")

    def _metadata(self, asked: Asked) -> Answer:
        track = _read("TrackMetadata", asked)
        self._workspace.add_metadata(track["request_id"], track["metadata"])
        return _tracked("Metadata")

    def _prompt(self, asked: Asked) -> Answer:
        track = _read("TrackPrompt", asked)
        version = track.get("version")
        row = self._registry.get(
            track["prompt_name"], version=None if version is None else int(version), label=track.get("label")
        )
        link = {"prompt_name": row["prompt_name"], "version": row["version"]}
        variables = track.get("prompt_input_variables") or {}
        self._workspace.link_prompt(track["request_id"], {**link, "input_variables": variables})
        return _tracked("Prompt")

    def _group(self, asked: Asked) -> Answer:
        track = _read("TrackGroup", asked)
        self._workspace.join_group(track["request_id"], track["group_id"])
        return _tracked("Group")

    def _create_group(self, _asked: Asked) -> Answer:
        return ok({"success": True, "id": self._workspace.add_group()})


def _read(name: str, asked: Asked) -> JSON:
    body: JSON = check(name, parse(asked.body))
    return body


def _tracked(what: str) -> Answer:
    return ok({"success": True, "message": f"{what} tracked successfully"})
