"""The routes of the API. ``docs/reference/ui-api.md`` describes each."""

from __future__ import annotations

from starlette.routing import Route

from plsync.ui import (
    actions,
    call,
    calls,
    comparison,
    conversations,
    copies,
    deliveries,
    exports,
    live,
    overview,
    same,
    search,
    templates,
    trees,
)
from plsync.ui.settings import Settings

__all__ = ["api_routes"]


def api_routes(settings: Settings) -> list[Route]:
    """The routes below ``/api/``. A read-only page has no route that writes."""
    reading = [
        Route("/api/journal", overview.journal),
        Route("/api/calls", calls.calls),
        Route("/api/count", calls.count),
        Route("/api/facets", calls.facets),
        Route("/api/histogram", calls.histogram),
        Route("/api/usage", calls.usage),
        Route("/api/calls/{id}", call.call),
        Route("/api/calls/{id}/raw", call.raw),
        Route("/api/calls/{id}/field", call.field),
        Route("/api/calls/{id}/copy", copies.copy),
        Route("/api/calls/{id}/same", same.same),
        Route("/api/calls/{id}/tree", trees.tree),
        Route("/api/media/{id}/{n:int}", call.media),
        Route("/api/compare", comparison.compare),
        Route("/api/conversations", conversations.conversations),
        Route("/api/conversation", conversations.conversation),
        Route("/api/delivery", deliveries.delivery),
        Route("/api/check", deliveries.check),
        Route("/api/prompts", templates.prompts),
        Route("/api/events", live.events),
        Route("/api/search", search.search),
        # It writes a file, and nothing into the journal.
        Route("/api/export", exports.export, methods=["POST"]),
    ]
    writing = [
        Route("/api/calls/{id}/score", actions.score, methods=["POST"]),
        Route("/api/calls/{id}/metadata", actions.add_metadata, methods=["POST"]),
        Route("/api/score", actions.score_all, methods=["POST"]),
        Route("/api/retry", actions.retry, methods=["POST"]),
    ]
    return reading if settings.read_only else reading + writing
