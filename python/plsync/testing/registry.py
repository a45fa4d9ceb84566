"""The Prompt Registry of the stand-in: versions, release labels, and rendering of variables."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

from plsync.testing.workspace import NotFound

JSON = dict[str, Any]

_VARIABLE = {
    "f-string": re.compile(r"(?<!\{)\{(\w+)\}(?!\})"),
    "jinja2": re.compile(r"\{\{\s*(\w+)\s*\}\}"),
}


class Registry:
    """Prompt templates by name, each with its versions in order."""

    def __init__(self) -> None:
        """Start empty."""
        self._versions: dict[str, list[JSON]] = {}
        self._ids: dict[str, int] = {}

    def names(self) -> list[str]:
        """Every template's name."""
        return list(self._versions)

    def add(
        self, name: str, template: JSON, *, labels: Iterable[str] = (), metadata: Mapping[str, Any] | None = None
    ) -> int:
        """Publish a new version of a template; a label moves to it. Returns the version number."""
        versions = self._versions.setdefault(name, [])
        prompt_id = self._ids.setdefault(name, len(self._ids) + 1)
        labels = set(labels)
        for older in versions:
            older["labels"] -= labels
        versions.append(
            {
                "id": prompt_id,
                "prompt_name": name,
                "version": len(versions) + 1,
                "prompt_template": copy.deepcopy(template),
                "metadata": dict(metadata or {}),
                "commit_message": None,
                "labels": labels,
                "created_at": datetime.now(timezone.utc).isoformat(),
            }
        )
        return len(versions)

    def get(self, identifier: str, *, version: int | None = None, label: str | None = None) -> JSON:
        """One version: the labelled one, else the numbered one, else the newest."""
        versions = self._find(identifier)
        if label is not None:
            chosen = [row for row in versions if label in row["labels"]]
        elif version is not None:
            chosen = [row for row in versions if row["version"] == version]
        else:
            chosen = versions[-1:]
        if not chosen:
            wanted = f"label {label!r}" if label is not None else f"version {version}"
            raise NotFound(f"Prompt template {identifier!r} has no {wanted}")
        row = {key: value for key, value in chosen[0].items() if key != "labels"}
        return {**copy.deepcopy(row), "llm_kwargs": None, "tags": [], "workspace_id": 1, "snippets": []}

    def page(
        self,
        page: int = 1,
        per_page: int = 10,
        *,
        label: str | None = None,
        name: str | None = None,
        updated_after: str | None = None,
    ) -> JSON:
        """A page as ``GET /prompt-templates`` gives it: the newest version of each template, or the labelled one."""
        found = []
        for known in self._versions:
            if name is not None and name.lower() not in known.lower():
                continue
            try:
                row = self.get(known, label=label)
            except NotFound:
                continue
            if updated_after is None or _moment(row["created_at"]) >= _moment(updated_after):
                found.append({**row, "external_ids": [], "is_snippet": False})
        pages = -(-len(found) // per_page)
        numbers = {"page": page, "pages": pages, "per_page": per_page, "total": len(found)}
        more = {"has_next": page < pages, "has_prev": page > 1, "next_num": page + 1, "prev_num": page - 1}
        return {"items": found[(page - 1) * per_page : page * per_page], **numbers, **more}

    def labels(self, identifier: str) -> list[JSON]:
        """Which version has which release label, as ``GET /prompt-templates/{identifier}/labels`` says."""
        return [
            {"prompt_version_number": row["version"], "release_label": label}
            for row in self._find(identifier)
            for label in sorted(row["labels"])
        ]

    def _find(self, identifier: str) -> list[JSON]:
        for name, versions in self._versions.items():
            if identifier in {name, str(self._ids[name])}:
                return versions
        raise NotFound(f"Prompt template {identifier!r} not found")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def render(template: JSON, variables: Mapping[str, str]) -> JSON:
    """Fill in variables wherever the template holds text; those without a value stay as they are."""

    def fill(part: Any, pattern: re.Pattern[str]) -> Any:
        if isinstance(part, str):
            return pattern.sub(lambda match: str(variables.get(match[1], match[0])), part)
        if isinstance(part, list):
            return [fill(item, pattern) for item in part]
        if isinstance(part, dict):
            own = _VARIABLE.get(part.get("template_format", ""), pattern)
            return {key: fill(value, own) if key in _FILLED else value for key, value in part.items()}
        return part

    rendered: JSON = fill(template, _VARIABLE["f-string"])
    return rendered


_FILLED = {"messages", "content", "text"}
