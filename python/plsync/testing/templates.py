"""Endpoints of the Prompt Registry."""

from __future__ import annotations

from plsync.testing.answers import Answer, Asked, Refused, ok, parse
from plsync.testing.registry import Registry, render
from plsync.testing.routes import Route
from plsync.testing.schema import validator

__all__ = ["Templates"]


class Templates:
    """``/prompt-templates``."""

    def __init__(self, registry: Registry) -> None:
        """Serve this registry."""
        self._registry = registry

    def routes(self) -> list[Route]:
        """What these endpoints answer."""
        template = "/prompt-templates/([^/]+)"
        return [
            ("POST", template, self._rendered),
            ("GET", template, self._raw),
            ("GET", "/prompt-templates", self._page),
            ("GET", f"{template}/labels", self._labels),
        ]

    def _rendered(self, asked: Asked) -> Answer:
        wanted = validator("GetTemplate").validate_python(parse(asked.body) or {})
        row = self._registry.get(asked.identifier, version=wanted.get("version"), label=wanted.get("label"))
        if wanted.get("input_variables") and not wanted.get("skip_input_variable_rendering"):
            row["prompt_template"] = render(row["prompt_template"], wanted["input_variables"])
        return ok(row | {"provider_base_url": None, "warning": None})

    def _raw(self, asked: Asked) -> Answer:
        row = self._registry.get(asked.identifier, version=_number(asked, "version"), label=asked.query.get("label"))
        return ok({"success": True, **row})

    def _page(self, asked: Asked) -> Answer:
        named = {name: asked.query.get(name) for name in ("label", "name", "updated_after")}
        page, per_page = _number(asked, "page") or 1, _number(asked, "per_page") or 10
        return ok(self._registry.page(page, per_page, **named))

    def _labels(self, asked: Asked) -> Answer:
        return ok({"success": True, "release_labels": self._registry.labels(asked.identifier)})


def _number(asked: Asked, name: str) -> int | None:
    text = asked.query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        detail = {"loc": ["query", name], "msg": "Input should be a whole number above 0", "type": "int_parsing"}
        raise Refused(ok({"detail": [detail]}, 422))
    return int(text)
