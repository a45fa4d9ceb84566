"""A record as an article of HTML, which a browser shows without a script. For notebooks, and for exported pages."""

from __future__ import annotations

import base64
import functools
import html
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from plsync._common.large_json import dumps
from plsync._terminal import visible
from plsync.journal import words
from plsync.journal.display import figures, message_text
from plsync.journal.display.conversation import Message, Part, ToolCall, conversation
from plsync.journal.display.media import Media
from plsync.journal.display.noise import own_metadata, own_params
from plsync.journal.display.notes import delivery_note, result_note
from plsync.journal.events.facts import short_model

if TYPE_CHECKING:
    from plsync.journal.record import Record

__all__ = ["article", "notebook_page", "style"]

_LONGEST: Final = 20_000
_LONGEST_IN_NOTEBOOK: Final = 4_000
_IMAGES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_LARGEST_IMAGE: Final = 4 << 20


@functools.cache
def style() -> str:
    """The styles of an article."""
    return Path(__file__).with_name("record.css").read_text(encoding="utf-8")


def notebook_page(record: Record) -> str:
    """A record for the output of a notebook, with its images."""
    body = "".join(_article(record, longest=_LONGEST_IN_NOTEBOOK, images=True, hide=False))
    return f'<div class="plsync"><style>{style()}</style>{body}</div>'


def article(record: Record, *, hide: bool = False) -> str:
    """A record as an article, without its images.

    Args:
        record: the record.
        hide: leave out messages, tools and error messages.
    """
    return "".join(_article(record, longest=_LONGEST, images=False, hide=hide))


def _article(record: Record, *, longest: int, images: bool, hide: bool) -> Iterator[str]:
    yield f'<article id="{record.id}">'
    title = " · ".join(filter(None, (short_model(record.model or "") or record.name, _result(record))))
    yield f"<h2>{_line(title)}</h2><dl>"
    for name, value in _facts(record):
        yield f"<dt>{name}</dt><dd>{_line(value)}</dd>"
    yield "</dl>"
    if hide:
        yield "<p>The content is left out.</p></article>"
        return
    found = conversation(record)
    if not found.messages:
        yield f"<p>{_line(message_text.content_gone(record) or 'No input was recorded.')}</p>"
    for message in found.messages:
        yield from _message(message, longest, images=images)
    for number, output in enumerate(found.outputs, 1):
        heading = "answer" if len(found.outputs) == 1 else f"answer {number}"
        reason = f" · {output.finish_reason}" if output.finish_reason else ""
        yield from _message(output.message, longest, images=images, heading=heading + reason)
    if error := record.error:
        code = f" ({error['status_code']})" if error["status_code"] is not None else ""
        yield f"<h3>{_line(error['type'] + code)}</h3>{_text(error['message'], longest, 'error')}"
    params = {name: value for name, value in own_params(record, record.params).items() if value is not None}
    for heading, values in ("settings", params), ("metadata", own_metadata(record.metadata)):
        if values:
            yield f"<h3>{heading}</h3>{_text(_json(values, is_wide=True), longest)}"
    yield "</article>"


def _facts(record: Record) -> Iterator[tuple[str, str]]:
    yield "record", record.id
    yield "started", record.started_at.astimezone().isoformat(sep=" ", timespec="milliseconds")
    if record.duration_ns is not None:
        yield "took", figures.duration(record.duration_ns)
    if usage := record.usage:
        yield "tokens", f"{usage['input_tokens']:,} in, {usage['output_tokens']:,} out"
    if record.provider:
        yield "provider", " · ".join(filter(None, (record.provider, record.name)))
    if record.tags:
        yield "tags", ", ".join(record.tags)
    yield "delivery", words.delivery_word(record) + delivery_note(record)
    if marks := record.marks():
        yield "marks", ", ".join(marks)


def _result(record: Record) -> str:
    code = record.error["status_code"] if record.error else None
    return words.result(record) + ("" if code is None else f" {code}") + result_note(record)


def _message(message: Message, longest: int, *, images: bool, heading: str = "") -> Iterator[str]:
    name = f" {message.name}" if message.name else ""
    answers = f" answers {message.tool_call_id}" if message.tool_call_id else ""
    yield f"<h3>{_line(heading or message.role + name + answers)}</h3>"
    for part in message.parts:
        yield _part(part, longest, images=images)
    for call in message.tool_calls:
        yield _call(call, longest)


def _part(part: Part, longest: int, *, images: bool) -> str:
    if part.media is not None:
        return _media(part.media, images=images)
    if part.kind == "json":
        return _text(_json(part.value), longest)
    return _text(part.text, longest, part.kind if part.kind in ("thinking", "refusal") else "")


def _media(media: Media, *, images: bool) -> str:
    described = ", ".join(filter(None, (media.mime or media.kind, media.name, figures.size(media.decoded_size))))
    if images and (content := media.content()) is not None and len(content) <= _LARGEST_IMAGE:
        mime = media.type_of(content)
        if mime in _IMAGES:
            data = base64.b64encode(content).decode()
            return f'<p><img alt="{html.escape(visible(described))}" src="data:{mime};base64,{data}"></p>'
    return f"<p>{_line(f'[{described}]')}</p>"


def _call(call: ToolCall, longest: int) -> str:
    arguments = call.args if isinstance(call.args, str) else _json(call.args)
    text = f"→ {call.name}({arguments})" + (f"  {call.id}" if call.id else "")
    if call.error is not None:
        return _text(f"{text}\nis not a valid call: {call.error}", longest, "error")
    return _text(text, longest)


def _text(text: str, longest: int, kind: str = "") -> str:
    more = len(text) - longest
    shown = text if more <= 0 else text[:longest]
    note = "" if more <= 0 else f"<p>{more:,} more characters are not shown here.</p>"
    name = f' class="{kind}"' if kind else ""
    return f'<pre dir="auto"{name}>{_escaped(shown)}</pre>{note}'


def _line(text: str) -> str:
    return f"<bdi>{_escaped(' '.join(text.split()))}</bdi>"


def _escaped(text: str) -> str:
    return html.escape(visible(text))


def _json(value: Any, *, is_wide: bool = False) -> str:
    option = orjson.OPT_NON_STR_KEYS | (orjson.OPT_INDENT_2 if is_wide else 0)
    try:
        return dumps(value, option=option).decode()
    except TypeError:  # a lone surrogate, or a number that JSON lacks
        return str(value)
