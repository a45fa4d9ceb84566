"""The route of the prompt templates that this machine keeps, with the calls that are linked to them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from plsync._common.paths import prompt_cache
from plsync.journal.display.message_text import content
from plsync.journal.followups import FollowUp, FollowUpState
from plsync.prompts.cache import CachedTemplate, all_caches
from plsync.ui.answers import answer
from plsync.ui.requests import Context
from plsync.ui.values import Fields

__all__ = ["prompts"]

_MOST_TEMPLATES: Final = 500
_MOST_LINKS: Final = 20_000
_MOST_CALLS: Final = 20
_VARIABLES: Final = re.compile(r"\{\{?\s*([A-Za-z_]\w{0,100})", re.ASCII)


def prompts(request: Request) -> Response:
    """``GET /api/prompts``: templates, versions, labels, variables, and the calls linked to each."""
    context = Context(request, filters=False)
    links = list(islice(_links(context), _MOST_LINKS))
    fields = Fields(hide=context.settings.hide_content)
    found = [
        _template(entry, cache.base_url, links, fields)
        for cache in all_caches(prompt_cache(), look=True)
        for entry in islice(cache.entries(), _MOST_TEMPLATES)
    ]
    found.sort(key=lambda one: (one["name"], -(one["version"] or 0), one["label"] or ""))
    return answer({"prompts": found})


def _links(context: Context) -> Iterator[FollowUp]:
    states: tuple[FollowUpState, ...] = ("pending", "dead", "sent")
    for state in states:
        for followup in context.journal.followups.by_state(state):
            if followup.op == "prompt":
                yield followup


def _template(entry: CachedTemplate, url: str, links: list[FollowUp], fields: Fields) -> dict[str, Any]:
    stored = entry.response.get("prompt_template")
    stored = stored if isinstance(stored, dict) else {}
    messages = [
        {"role": role, "text": fields.text(text, ""), "variables": sorted(set(_VARIABLES.findall(text)))}
        for role, text in _messages(stored)
    ]
    version = entry.response.get("version")
    calls = [
        {
            "record_id": link.record_id,
            "request_id": link.request_id,
            "version": link.payload.get("version"),
            "label": link.payload.get("label"),
        }
        for link in links
        if _is_of(link, entry)
    ]
    metadata = entry.response.get("metadata")
    model = metadata.get("model") if isinstance(metadata, dict) else None
    return {
        "name": entry.key.name,
        "version": version if isinstance(version, int) else entry.key.version,
        "label": entry.key.label,
        "url": url,
        "fetched_ms": int(entry.fetched_at * 1000),
        "type": stored.get("type"),
        "messages": messages,
        "variables": sorted({name for message in messages for name in message["variables"]}),
        "model": model.get("name") if isinstance(model, dict) else None,
        "tags": entry.response.get("tags"),
        "calls": calls[:_MOST_CALLS],
        "calls_count": len(calls),
    }


def _messages(stored: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if isinstance(stored.get("messages"), list):
        for message in stored["messages"]:
            if isinstance(message, dict):
                yield str(message.get("role", "?")), content(message.get("content"))
    else:
        yield "prompt", content(stored.get("content"))


def _is_of(link: FollowUp, entry: CachedTemplate) -> bool:
    payload = link.payload
    if payload.get("prompt_name") != entry.key.name:
        return False
    wanted = (payload.get("version"), payload.get("label"))
    if entry.key.label is not None:
        return payload.get("label") == entry.key.label
    return wanted == (None, None) or payload.get("version") in (None, entry.response.get("version"))
