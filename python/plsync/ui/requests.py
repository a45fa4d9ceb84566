"""A request to the API, with the objects that its route needs."""

from __future__ import annotations

from starlette.requests import Request

from plsync.journal.journal import Journal
from plsync.journal.record import Record
from plsync.ui.answers import ApiError
from plsync.ui.queries import Queries
from plsync.ui.rows import Rows
from plsync.ui.selection import FILTERS, Selection
from plsync.ui.settings import Settings
from plsync.ui.values import Fields

__all__ = ["Context"]


class Context:
    """The journal and the settings behind a request.

    Args:
        request: the request.
        options: the names of the parameters that the route has beside the filters.
    """

    def __init__(self, request: Request, *options: str, filters: bool = True) -> None:
        self.request = request
        self.journal: Journal = request.app.state.journal
        self.settings: Settings = request.app.state.settings
        self.queries = Queries(self.journal, hide=self.settings.hide_content)
        known = {*options, *(FILTERS if filters else ())}
        for name in request.query_params:
            if name not in known:
                raise ApiError(400, "bad_request", f"{name[:40]!r} is no parameter here: {', '.join(sorted(known))}")

    def text(self, name: str, default: str = "") -> str:
        """A parameter as text."""
        return self.request.query_params.get(name) or default

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """A parameter as a number within limits."""
        text = self.text(name, str(default))
        if not (text.isascii() and text.isdecimal()) or not least <= int(text[:20]) <= most:
            raise ApiError(400, "bad_request", f"{name} is a number from {least} to {most:,}")
        return int(text)

    def choice(self, name: str, *words: str) -> str:
        """A parameter that is one of these words; the first by default."""
        text = self.text(name, words[0])
        if text not in words:
            raise ApiError(400, "bad_request", f"{name} is one of {', '.join(words)}")
        return text

    @property
    def selection(self) -> Selection:
        """The records that the request chooses.

        Raises:
            ApiError: a filter has a wrong value, or searches content that is hidden.
        """
        return self.without()

    def without(self, *names: str) -> Selection:
        """The selection without the filters of these kinds."""
        found = Selection.of(self.request.query_params, without=[*names, *(f"not.{name}" for name in names)])
        if found.searches and self.settings.hide_content:
            raise ApiError(403, "content_hidden", "the content is hidden, so it cannot be searched")
        return found

    @property
    def rows(self) -> Rows:
        """Makes rows of records."""
        return Rows(self.settings.prices, self.settings.hide_content, self.journal.last_seq())

    @property
    def columns(self) -> list[str]:
        """The keys of the metadata that the request has chosen."""
        return [key for key in self.text("columns").split(",") if key][:20]

    def record(self) -> Record:
        """The record in the path of the request."""
        return self.queries.find(self.request.path_params["id"])

    def fields(self, record: Record) -> Fields:
        """Makes the fields of a record."""
        return Fields(f"/api/calls/{record.id}/field", hide=self.settings.hide_content)

    def content(self) -> None:
        """Refuse a request for content that is hidden.

        Raises:
            ApiError: the content is hidden.
        """
        if self.settings.hide_content:
            raise ApiError(403, "content_hidden", "`plsync ui --hide-content` serves no content")
