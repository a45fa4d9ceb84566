"""Endpoints of the Prompt Registry."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from plsync.testing.endpoints.http import HTTPError, Request, Response, json_response, parse_json
from plsync.testing.endpoints.rendering import llm_kwargs, render
from plsync.testing.endpoints.routes import Route
from plsync.testing.schema import check
from plsync.testing.state.registry import Registry
from plsync.testing.state.workspace import JSON

__all__ = ["Templates"]

_PER_PAGE = 30
_SORTED_BY: dict[str, Callable[[JSON], Any]] = {
    "created_at": lambda row: row["created_at"],
    "updated_at": lambda row: row["updated_at"],
    "name": lambda row: row["prompt_name"],
    "id": lambda row: row["id"],
}


class Templates:
    """``/prompt-templates``, and ``/rest/prompt-templates`` to publish."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def routes(self) -> list[Route]:
        """The paths of these endpoints."""
        template = "/prompt-templates/([^/]+)"
        return [
            ("GET", "/prompt-templates", self._list),
            ("POST", "/rest/prompt-templates", self._publish),
            ("GET", f"{template}/labels", self._labels),
            ("POST", template, self._rendered),
            ("GET", template, self._raw),
        ]

    def _list(self, request: Request) -> Response:
        tags = [tag for tag in request.query.get("tags", "").split(",") if tag]
        rows = self._registry.list_newest(name=request.query.get("name"), label=request.query.get("label"), tags=tags)
        for at in ("created", "updated"):
            after, before = _moment(request, f"{at}_after"), _moment(request, f"{at}_before")
            rows = [row for row in rows if _is_between(after, row[f"{at}_at"], before)]
        if "sort_by" in request.query:
            key = _SORTED_BY.get(request.query["sort_by"])
            if key is None:
                raise _query_error("sort_by", f"Input should be one of {', '.join(_SORTED_BY)}")
            rows.sort(key=key, reverse=request.query.get("sort_order", "desc") == "desc")
        page, per_page = _number(request, "page") or 1, _number(request, "per_page") or _PER_PAGE
        pages = -(-len(rows) // per_page)
        listing: JSON = {"items": rows[(page - 1) * per_page : page * per_page], "page": page, "pages": pages}
        neighbours = {"has_next": page < pages, "has_prev": page > 1, "next_num": page + 1, "prev_num": page - 1}
        return json_response(listing | {"total": len(rows)} | neighbours)

    def _rendered(self, request: Request) -> Response:
        wanted = check("GetTemplate", parse_json(request.body) or {})
        row = self._registry.get(request.identifier, version=wanted.get("version"), label=wanted.get("label"))
        if wanted.get("input_variables") and not wanted.get("skip_input_variable_rendering"):
            row["prompt_template"] = render(row["prompt_template"], wanted["input_variables"])
        row["llm_kwargs"] = llm_kwargs(row["prompt_template"], row["metadata"], wanted.get("provider"))
        return json_response(row | {"provider_base_url": None, "warning": None})

    def _raw(self, request: Request) -> Response:
        row = self._registry.get(
            request.identifier, version=_number(request, "version"), label=request.query.get("label")
        )
        if request.query.get("include_llm_kwargs", "").lower() == "true":
            row["llm_kwargs"] = llm_kwargs(row["prompt_template"], row["metadata"])
        return json_response({"success": True, **row})

    def _labels(self, request: Request) -> Response:
        labels = [
            {
                "prompt_version_id": version.version_id,
                "prompt_version_number": version.number,
                "release_label": label,
                "release_label_id": label_id,
            }
            for version in self._registry.versions(request.identifier)
            for label, label_id in version.labels.items()
        ]
        return json_response({"release_labels": labels})

    def _publish(self, request: Request) -> Response:
        """Publish a version. The status is 201: the SDK's async client requires it, though the OpenAPI file has 200."""
        body = check("Publish", parse_json(request.body))
        template, version = body["prompt_template"], body["prompt_version"]
        added = self._registry.add(
            template["prompt_name"],
            version["prompt_template"],
            labels=body.get("release_labels") or (),
            metadata=version.get("metadata"),
            tags=template.get("tags") or (),
            commit_message=version.get("commit_message"),
        )
        row = self._registry.get(added.name, version=added.number)
        published = {
            key: row[key] for key in ("id", "prompt_name", "tags", "prompt_template", "metadata", "commit_message")
        }
        numbers = {"prompt_version_id": added.version_id, "version_number": added.number}
        return json_response(published | numbers | {"release_labels": list(added.labels), "external_ids": []}, 201)


def _number(request: Request, name: str) -> int | None:
    text = request.query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise _query_error(name, "Input should be a whole number above 0")
    return int(text)


def _moment(request: Request, name: str) -> datetime | None:
    text = request.query.get(name)
    try:
        return None if text is None else datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise _query_error(name, "Input should be a time in ISO 8601") from None


def _is_between(after: datetime | None, at: str, before: datetime | None) -> bool:
    moment = datetime.fromisoformat(at)
    return (after is None or after <= moment) and (before is None or moment <= before)


def _query_error(name: str, problem: str) -> HTTPError:
    return HTTPError(json_response({"detail": [{"loc": ["query", name], "msg": problem, "type": "value_error"}]}, 422))
