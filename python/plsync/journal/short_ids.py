"""Short ids for people: the random end of a record id.

All ids of a day share their first digits, which are the time. Their last digits are random, so four of them
distinguish the records of a page.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["end_length", "short_end"]

_SHORTEST: Final = 4
_LETTER: Final = re.compile("[a-f]")


def short_end(record_id: str, records: int) -> str:
    """The last hex digits of a record id: as many as distinguish it in a journal with this number of records.

    Another record has the same end with a probability of at most 1/256. An end without a letter has an ellipsis in
    front, because digits alone are a request id of PromptLayer.

    >>> short_end("0199a3b2-c4d5-7e6f-8a9b-0c1d2e3f4a5b", 20)
    '4a5b'
    >>> short_end("0199a3b2-c4d5-7e6f-8a9b-0c1d2e3f4455", 20)
    '…4455'
    """
    end = record_id.replace("-", "")[-_digits(records) :]
    return end if _LETTER.search(end) else f"…{end}"


def end_length(records: int) -> int:
    """The greatest length of an end in a journal with this number of records."""
    return _digits(records) + 1


def _digits(records: int) -> int:
    return max(_SHORTEST, len(f"{records:x}") + 2)
