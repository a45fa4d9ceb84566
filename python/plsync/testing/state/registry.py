"""The stand-in's Prompt Registry: versions and release labels."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from plsync.testing.state.workspace import JSON, NotFound

__all__ = ["Registry", "Version"]


@dataclass
class Version:
    """One version of a template."""

    prompt_id: int
    version_id: int
    name: str
    number: int
    template: JSON
    metadata: JSON
    commit_message: str | None
    created_at: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    labels: dict[str, int] = field(default_factory=dict)
    """The ids of its release labels, by label."""

    def as_json(self, tags: Iterable[str]) -> JSON:
        """The version as endpoints return it, a copy."""
        return copy.deepcopy(
            {
                "id": self.prompt_id,
                "prompt_name": self.name,
                "version": self.number,
                "workspace_id": 1,
                "prompt_template": self.template,
                "metadata": self.metadata,
                "commit_message": self.commit_message,
                "tags": list(tags),
                "created_at": self.created_at.isoformat(),
                "snippets": [],
                "llm_kwargs": None,
            }
        )


class Registry:
    """Prompt templates by name, each with its versions in order."""

    def __init__(self) -> None:
        self._versions: dict[str, list[Version]] = {}
        self._tags: dict[str, list[str]] = {}
        self._version_ids = itertools.count(1)
        self._label_ids = itertools.count(1)

    def names(self) -> Collection[str]:
        """The names of all templates."""
        return self._versions.keys()

    def add(
        self,
        name: str,
        template: JSON,
        *,
        labels: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
        tags: Iterable[str] = (),
        commit_message: str | None = None,
    ) -> Version:
        """Publish a new version of a template. ``labels`` move to it; ``tags`` belong to the template."""
        versions = self._versions.setdefault(name, [])
        prompt_id = versions[0].prompt_id if versions else len(self._versions)
        added = Version(
            prompt_id, next(self._version_ids), name, len(versions) + 1, copy.deepcopy(template), dict(metadata or {}),
            commit_message,
        )  # fmt: skip
        for label in labels:
            moved = [older.labels.pop(label) for older in versions if label in older.labels]
            added.labels[label] = moved[0] if moved else next(self._label_ids)
        versions.append(added)
        known_tags = self._tags.setdefault(name, [])
        known_tags += [tag for tag in tags if tag not in known_tags]
        return added

    def get(self, identifier: str, *, version: int | None = None, label: str | None = None) -> JSON:
        """One version: by label, else by number, else the newest.

        Raises:
            NotFound: the template has no such version.
        """
        versions = self.versions(identifier)
        if label is not None:
            chosen = [row for row in versions if label in row.labels]
        elif version is not None:
            chosen = [row for row in versions if row.number == version]
        else:
            chosen = versions[-1:]
        if not chosen:
            wanted = f"label {label!r}" if label is not None else f"version {version}"
            raise NotFound(f"Prompt template {identifier!r} has no {wanted}")
        return chosen[0].as_json(self._tags[chosen[0].name])

    def versions(self, identifier: str) -> list[Version]:
        """Every version of a template, by its name or id.

        Raises:
            NotFound: there is no such template.
        """
        for name, versions in self._versions.items():
            if identifier in {name, str(versions[0].prompt_id)}:
                return versions
        raise NotFound(f"Prompt template {identifier!r} not found")

    def list_newest(self, *, name: str | None = None, label: str | None = None, tags: Iterable[str] = ()) -> list[JSON]:
        """The newest version of each template, or the version with ``label``; the oldest template first."""
        found: list[JSON] = []
        for known_name, versions in self._versions.items():
            chosen = [row for row in versions if label is None or label in row.labels]
            matches = name is None or name.lower() in known_name.lower()
            if chosen and matches and set(tags) <= set(self._tags[known_name]):
                row = chosen[-1].as_json(self._tags[known_name])
                found.append({**row, "updated_at": row["created_at"], "external_ids": [], "is_snippet": False})
        return found
