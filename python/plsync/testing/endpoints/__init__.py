"""PromptLayer's endpoints, one subject per module."""

from __future__ import annotations

from plsync.testing.endpoints.followups import FollowUps
from plsync.testing.endpoints.logs import Logs
from plsync.testing.endpoints.otlp import OpenTelemetry
from plsync.testing.endpoints.routes import Routes
from plsync.testing.endpoints.templates import Templates
from plsync.testing.endpoints.traces import Traces
from plsync.testing.endpoints.track_request import TrackRequest
from plsync.testing.state.registry import Registry
from plsync.testing.state.workspace import Workspace

__all__ = ["LEGACY_PATHS", "all_routes"]

LEGACY_PATHS = ("/library-track-", "/create-group", "/track-group", "/track-request", "/rest/track-request")
"""Paths whose requests carry the key as ``api_key`` in the body."""


def all_routes(workspace: Workspace, registry: Registry, *, validate: bool, search_per_minute: int | None) -> Routes:
    """Every endpoint of the stand-in. ``PromptLayerServer`` documents the arguments."""
    endpoints = (
        Traces(workspace, registry, validate=validate),
        Logs(workspace, registry, validate=validate, search_per_minute=search_per_minute),
        FollowUps(workspace, registry),
        TrackRequest(workspace, registry),
        Templates(registry),
        OpenTelemetry(workspace),
    )
    return Routes(route for endpoint in endpoints for route in endpoint.routes())
