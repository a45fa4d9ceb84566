"""Two calls side by side: their settings, tools, messages and answers."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from plsync.ui.answers import ApiError, answer, as_json
from plsync.ui.call import detail_of
from plsync.ui.requests import Context

__all__ = ["compare", "comparison_of"]

_COMPARED: Final = ("role", "name", "parts", "tool_calls", "tool_call_id", "status")


def compare(request: Request) -> Response:
    """``GET /api/compare``: two calls, and the differences between them."""
    context = Context(request, "a", "b", filters=False)
    if not context.text("a") or not context.text("b"):
        raise ApiError(400, "bad_request", "send the ids of two calls, as a and b")
    records = [context.queries.find(context.text(name)) for name in ("a", "b")]
    return answer(comparison_of(*(detail_of(context, record) for record in records)))


def comparison_of(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The two calls and their differences.

    Args:
        one: a call in full.
        other: another one.
    """
    return {
        "a": one,
        "b": other,
        "settings": _settings(one, other),
        "tools": _tools(one, other),
        "messages": _messages(one["messages"], other["messages"]),
    }


def _settings(one: dict[str, Any], other: dict[str, Any]) -> list[dict[str, Any]]:
    found = [{item["name"]: item["value"] for item in call["settings"]} for call in (one, other)]
    names = dict.fromkeys((*found[0], *found[1]))
    pairs = [(name, found[0].get(name), found[1].get(name)) for name in names]
    return [{"name": name, "a": a, "b": b, "same": a is not None and a == b} for name, a, b in pairs]


def _tools(one: dict[str, Any], other: dict[str, Any]) -> dict[str, list[str]]:
    found = [{tool["name"]: tool for tool in call["tools"]} for call in (one, other)]
    return {
        "added": [name for name in found[1] if name not in found[0]],
        "removed": [name for name in found[0] if name not in found[1]],
        "changed": [name for name, tool in found[0].items() if name in found[1] and tool != found[1][name]],
    }


def _messages(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages in pairs: equal ones, and between these the messages of one role."""
    keys = [[_key(message) for message in messages] for messages in (one, other)]
    pairs: list[dict[str, Any]] = []
    for kind, a_from, a_to, b_from, b_to in SequenceMatcher(None, keys[0], keys[1], autojunk=False).get_opcodes():
        if kind == "equal":
            offset = b_from - a_from
            pairs += [{"a": at, "b": at + offset, "same": True} for at in range(a_from, a_to)]
        else:
            pairs += _by_role(one, other, range(a_from, a_to), range(b_from, b_to))
    return pairs


def _by_role(
    one: list[dict[str, Any]], other: list[dict[str, Any]], mine: range, theirs: range
) -> list[dict[str, Any]]:
    pairs: list[dict[str, Any]] = []
    left = list(theirs)
    for at in mine:
        partner = next((number for number in left if other[number]["role"] == one[at]["role"]), None)
        if partner is None:
            pairs.append({"a": at, "b": None, "same": False})
            continue
        skipped = left[: left.index(partner)]
        pairs += [{"a": None, "b": number, "same": False} for number in skipped]
        pairs.append({"a": at, "b": partner, "same": False})
        left = left[len(skipped) + 1 :]
    return pairs + [{"a": None, "b": number, "same": False} for number in left]


def _key(message: dict[str, Any]) -> bytes:
    compared = {name: message[name] for name in _COMPARED}
    # The address of media names the record.
    compared["parts"] = [{**part, "src": None} for part in message["parts"]]
    compared["tool_calls"] = [{**call, "answer": None} for call in message["tool_calls"]]
    return as_json(compared)
