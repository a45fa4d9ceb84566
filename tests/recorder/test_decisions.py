"""Decision models of langchain-core 1.8: requests that LangChain reports as chains."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plsync import PromptLayerCallbackHandler, Record
from plsync.promptlayer.mapping.blueprint import span
from tests.support.models import records

decisions = pytest.importorskip("langchain_core.decisions", reason="langchain-core before 1.8 has no decision models")

QUESTIONS = {"urgent": decisions.Noul(instructions="Must somebody answer at once?")}


class Judge(decisions.BaseDecisionModel):  # type: ignore[misc, name-defined]
    """Classifies every state as urgent, or raises."""

    model: str = "judge-1"
    fails: bool = False

    @property
    def _provider(self) -> str:
        return "court"

    def _classify(self, state: Any, questions: Any) -> Any:
        if self.fails:
            raise ConnectionError("out of order")
        answers = {name: {"type": "noul", "noul": 0.75} for name in questions}
        usage = {"input_tokens": 5, "output_tokens": 1}
        return decisions.ClassifierResponse.model_validate({"model": "judge-1", "answers": answers, "usage": usage})


@pytest.fixture
def config(path: Path) -> Iterator[dict[str, Any]]:
    yield {"callbacks": [PromptLayerCallbackHandler(journal=path)], "tags": ["mine"]}


def is_kept(record: Record) -> None:
    assert (record.kind, record.status, record.model, record.provider) == ("chat", "ok", "judge-1", "court")
    assert record.tags == ["mine"]
    assert record.input[0]["state"] == "Production is down."
    assert "somebody answer" in str(record.input[0]["questions"])
    assert '"noul":0.75' in record.output[0]["text"]


def test_a_decision_is_kept(config: dict[str, Any], path: Path) -> None:
    answer = Judge().invoke({"state": "Production is down.", "questions": QUESTIONS}, config)
    assert answer.nouls["urgent"].noul == 0.75
    (record,) = records(path)
    is_kept(record)


async def test_an_async_decision_is_recorded_alike(config: dict[str, Any], path: Path) -> None:
    await Judge().ainvoke({"state": "Production is down.", "questions": QUESTIONS}, config)
    (record,) = records(path)
    is_kept(record)


def test_a_decision_that_fails_keeps_its_error(config: dict[str, Any], path: Path) -> None:
    with pytest.raises(ConnectionError):
        Judge(fails=True).invoke({"state": "Production is down.", "questions": QUESTIONS}, config)
    (record,) = records(path)
    assert record.status == "error"
    assert record.error is not None
    assert record.error["type"] == "ConnectionError"


def test_the_tokens_of_a_decision_are_sent(config: dict[str, Any], path: Path) -> None:
    Judge().invoke({"state": "Production is down.", "questions": QUESTIONS}, config)
    (record,) = records(path)
    sent = span(record)["log_request"]
    assert (sent["provider"], sent["model"], sent["input_tokens"], sent["output_tokens"]) == ("court", "judge-1", 5, 1)
