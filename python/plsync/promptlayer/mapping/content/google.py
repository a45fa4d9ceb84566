"""Maps the blocks of Google's models."""

from __future__ import annotations

from collections.abc import Mapping

from plsync.promptlayer.mapping.content.blocks import Block, Converter, no_blocks
from plsync.promptlayer.mapping.json_values import string, text

__all__ = ["CONVERTERS"]


def _executable_code(item: Block, _output: bool) -> list[Block] | None:
    return [{"type": "code", "code": text(item.get("executable_code")), "id": string(item.get("id"))}]


def _code_execution_result(item: Block, _output: bool) -> list[Block] | None:
    """The result in Google's or in PromptLayer's format. Google numbers its outcomes; 1 is OK."""
    outcome = item.get("outcome")
    named = string(outcome) or ("OUTCOME_OK" if outcome is None or outcome == 1 else "OUTCOME_FAILED")
    printed = text(item.get("code_execution_result") or item.get("output"))
    return [{"type": "code_execution_result", "output": printed, "outcome": named}]


CONVERTERS: Mapping[str, Converter] = {
    "executable_code": _executable_code,
    "code_execution_result": _code_execution_result,
    # The signature of a thought that led to a function call. Only Google can use it.
    "function_call_signature": no_blocks,
}
