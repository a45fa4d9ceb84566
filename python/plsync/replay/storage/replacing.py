"""Finds the recorded line that a new line replaces: the line whose call would serve the new request.

Serving and replacing use the same keys and the same similarity, under any ``match``. So the new response of a call is
served, and the old response is gone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from plsync.replay.matching import Matcher
from plsync.replay.storage.file import key_of
from plsync.replay.storage.recorded_call import RecordedCall, closest

__all__ = ["replaced_places"]

# An older plsync stored no place.
_NAMES: Final = ("model", "settings", "class", "place")


def replaced_places(new: Mapping[int, bytes], old: Mapping[int, bytes], matcher: Matcher) -> dict[int, int]:
    """The number of the old line that each new line replaces; a new line without one is left out.

    Args:
        new: the new lines by number, in the order of their calls.
        old: the replaceable lines by number, in the order of the file.
        matcher: computes the keys with which the recording serves calls.
    """
    if not old:
        return {}
    places: defaultdict[str, dict[int, RecordedCall]] = defaultdict(dict)
    damaged: defaultdict[bytes | None, list[int]] = defaultdict(list)
    for number, line in old.items():
        if (found := _keyed(line, matcher)) is not None:
            places[found[0]][number] = found[1]
        else:
            damaged[key_of(line)].append(number)
    keyed = {number: found for number, line in new.items() if (found := _keyed(line, matcher)) is not None}
    replaced: dict[int, int] = {}
    # A call of the same model with the same settings comes first. Otherwise a call of a new model could take the line
    # of a model that is recorded later.
    for names in (_NAMES, _NAMES[:-1], ()):
        for number, (key, call) in keyed.items():
            if number not in replaced and (place := _place(call, places[key], names)) is not None:
                del places[key][place]
                replaced[number] = place
    for number, line in new.items():
        if number not in replaced and (stored := key_of(line)) is not None and damaged[stored]:
            replaced[number] = damaged[stored].pop(0)
    return replaced


def _place(call: RecordedCall, places: Mapping[int, RecordedCall], names: Sequence[str]) -> int | None:
    """The place of the first old line whose values of these names are equal; without names, of the closest one."""
    if names:
        return next((place for place, old in places.items() if _same(old, call, names)), None)
    if not places:
        return None
    nearest = closest(call.request, list(places.values()))
    return next(place for place, old in places.items() if old is nearest)


def _same(one: RecordedCall, other: RecordedCall, names: Sequence[str]) -> bool:
    return all(one.data.get(name) == other.data.get(name) for name in names)


def _keyed(line: bytes, matcher: Matcher) -> tuple[str, RecordedCall] | None:
    call = RecordedCall("", line)
    try:
        return matcher.key(call.request), call
    except Exception:  # a damaged line, or a request that the `match` function does not know
        return None
