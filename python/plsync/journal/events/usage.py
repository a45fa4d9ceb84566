"""Reads token counts out of an answer.

Clients report counts on the message, in its metadata, beside the generation, or beside the whole answer. Each provider
has its own names. The result has LangChain's names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any, Final, TypedDict

__all__ = ["Usage", "usage"]


class Usage(TypedDict, total=False):
    """Token counts, named as in LangChain's ``UsageMetadata``; details only when the provider reports them."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_token_details: dict[str, Any]
    output_token_details: dict[str, Any]


# The names are compared without case, underscores and hyphens: SDKs spell one name in several ways.
_INPUT: Final = (
    "inputtokens",
    "prompttokens",
    "prompttokencount",
    "inputtokencount",
    "inputtexttokencount",
    "inputtexttokens",
    "numinputtokens",
    "numprompttokens",
    "promptevalcount",
    "promptn",
    "tokensevaluated",
)
_OUTPUT: Final = (
    "outputtokens",
    "completiontokens",
    "candidatestokencount",
    "outputtokencount",
    "generatedtokencount",
    "generatedtokens",
    "completiontokencount",
    "numoutputtokens",
    "numcompletiontokens",
    "evalcount",
    "predictedn",
    "tokenspredicted",
)
_TOTAL: Final = ("totaltokens", "totaltokencount")
# Anthropic and Bedrock leave the tokens of the cache out of a count under these names; Google leaves out the thoughts.
_BESIDE: Final = {
    **dict.fromkeys(
        ("inputtokens", "inputtokencount"),
        (
            "cachereadinputtokens",
            "cachecreationinputtokens",
            "cachewriteinputtokens",
            "cachereadinputtokencount",
            "cachewriteinputtokencount",
        ),
    ),
    "candidatestokencount": ("thoughtstokencount",),
}
_INPUT_DETAILS: Final = {
    "cachedtokens": "cache_read",
    "cachereadinputtokens": "cache_read",
    "cachereadinputtokencount": "cache_read",
    "cachedcontenttokencount": "cache_read",
    "promptcachehittokens": "cache_read",
    "cachecreationinputtokens": "cache_creation",
    "cachewriteinputtokens": "cache_creation",
    "cachewriteinputtokencount": "cache_creation",
    "cachewritetokens": "cache_creation",
}
_OUTPUT_DETAILS: Final = {"reasoningtokens": "reasoning", "thoughtstokencount": "reasoning"}
_NESTED_INPUT: Final = frozenset(
    {"inputtokendetails", "inputtokensdetails", "prompttokendetails", "prompttokensdetails"}
)
_NESTED_OUTPUT: Final = frozenset(
    {
        "outputtokendetails",
        "outputtokensdetails",
        "completiontokendetails",
        "completiontokensdetails",
        "candidatestokensdetails",
    }
)
_NESTED_NAMES: Final = {**_INPUT_DETAILS, **_OUTPUT_DETAILS, "audiotokens": "audio", "imagetokens": "image"}
# Dicts that hold counts, or a dict with counts.
_HOLDER: Final = re.compile(r"usage|tokens?$|tokencounts?$|billed|meta$|metrics$|timings$|^xgroq$")
_MAX_DEPTH: Final = 3
_LIMIT: Final = 1 << 63
# Journals of earlier versions have the repr of a number of numpy.
_REPR: Final = re.compile(r"(?:[\w.]+\()?(\d+(?:\.\d*)?)\)?")


def usage(message: Mapping[str, Any], info: Mapping[str, Any], end: Mapping[str, Any]) -> Usage | None:
    """The tokens that a call used; None when no part of its answer has a count.

    Args:
        message: the message of the first candidate, as the dict of its fields.
        info: its ``generation_info``.
        end: the end event in plain form.

    >>> usage({}, {"prompt_eval_count": 9, "eval_count": 4}, {})
    {'input_tokens': 9, 'output_tokens': 4, 'total_tokens': 13}
    """
    places = (
        message.get("usage_metadata"),
        message.get("response_metadata"),
        message.get("additional_kwargs"),
        info,
        end.get("llm_output"),
    )
    # The other names in the outputs of a decision model are the program's own.
    outputs = islice(_candidates(end.get("outputs")), 1, None)
    best: Usage | None = None
    # The first place has the counts nearly always, so the remaining places are searched on demand.
    for counts in chain(chain.from_iterable(map(_candidates, places)), outputs):
        found = _normalised(counts)
        if found is None:
            continue
        if _counted(found) == 2:
            return found
        # A client may report zeros, one count or a total alone, beside the true counts.
        if best is None or _counted(found) > _counted(best):
            best = found
    return best


def _counted(found: Usage) -> int:
    return (found["input_tokens"] > 0) + (found["output_tokens"] > 0)


def _candidates(place: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """The dict itself, then each dict inside that may hold counts."""
    if not isinstance(place, dict):
        return
    yield place
    if depth < _MAX_DEPTH:
        for key, value in place.items():
            if isinstance(value, dict) and _HOLDER.search(_bare(key)):
                yield from _candidates(value, depth + 1)


def _normalised(counts: Mapping[str, Any]) -> Usage | None:
    sent, received, total = counts.get("input_tokens"), counts.get("output_tokens"), counts.get("total_tokens")
    if len(counts) == 3 and type(sent) is int and type(received) is int and type(total) is int:
        # Most answers have LangChain's own names alone.
        return {"input_tokens": sent, "output_tokens": received, "total_tokens": total}
    named = {_bare(key): value for key, value in counts.items()}
    input_tokens, output_tokens, total = (_sum(named, names) for names in (_INPUT, _OUTPUT, _TOTAL))
    if input_tokens is None and output_tokens is None and total is None:
        return None
    input_tokens, output_tokens = input_tokens or 0, output_tokens or 0
    found: Usage = {
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens if total is None else total,
    }
    if details := _details(named, _INPUT_DETAILS, _NESTED_INPUT):
        found["input_token_details"] = details
    if details := _details(named, _OUTPUT_DETAILS, _NESTED_OUTPUT):
        found["output_token_details"] = details
    return found


def _sum(named: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    """The count under the first of the names, with the counts that its provider leaves out of it."""
    for name in names:
        if (count := _count(named.get(name))) is not None:
            return count + sum(_count(named.get(beside)) or 0 for beside in _BESIDE.get(name, ()))
    return None


def _details(named: Mapping[str, Any], flat: Mapping[str, str], nested: frozenset[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in named.items():
        if name in nested:
            found.update(_nested_details(value))
    for name, own in flat.items():
        if own not in found and (count := _count(named.get(name))) is not None:
            found[own] = count
    return found


def _nested_details(value: Any) -> dict[str, Any]:
    """Details in a dict, or in Google's list of modalities. Keys and values of LangChain stay."""
    if isinstance(value, list):
        named = [{_bare(key): count for key, count in item.items()} for item in value if isinstance(item, dict)]
        counts = {str(item.get("modality")).lower(): _count(item.get("tokencount")) for item in named}
        return {kind: count for kind, count in counts.items() if count is not None}
    if not isinstance(value, dict):
        return {}
    renamed = ((_NESTED_NAMES.get(_bare(key), str(key)), item) for key, item in value.items() if item is not None)
    return {key: item if (count := _count(item)) is None else count for key, item in renamed}


def _count(value: Any) -> int | None:
    if isinstance(value, str) and (number := _REPR.fullmatch(value)):
        value = float(number[1])
    if isinstance(value, float):
        return int(value) if math.isfinite(value) and abs(value) < _LIMIT else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _bare(name: Any) -> str:
    return str(name).replace("_", "").replace("-", "").lower()
