"""Objects that change while they are recorded cost their own content at most, never the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROLOGUE = """
import gc, sys, uuid
from langchain_core.messages import AIMessage, HumanMessage
from plsync import Journal, PromptLayerCallbackHandler

journal = sys.argv[1]
handler = PromptLayerCallbackHandler(journal=journal)
SERIALIZED = {"lc": 1, "type": "constructor", "id": ["langchain", "Fake"], "kwargs": {}}

def record(*content):
    handler.on_chat_model_start(SERIALIZED, [[HumanMessage("before"), *content]], run_id=uuid.uuid4())

def junk():
    # New objects in place of freed ones.
    return [{str(n): [n] for n in range(20)} for _ in range(200)]
"""

POSER = """
class AIMessage:
    def __init__(self, box):
        self.__dict__["box"] = box
    @property
    def __pydantic_extra__(self):
        BOX.clear()
        junk()
        return {"extra": 1}
AIMessage.__module__ = "langchain_core.messages"
"""

ATTACKS = {
    # A class that poses as LangChain's empties the containers around it, while they are walked.
    "property in a dict": POSER + """
for _ in range(50):
    BOX = {"a": {"x": 1}}
    BOX["b"] = AIMessage(1)
    BOX.update({f"k{n}": {"text": "y" * 50, "n": [n]} for n in range(50)})
    record(HumanMessage("m", additional_kwargs={"outer": {"box": BOX}}))
""",
    "property in a list": POSER + """
for _ in range(50):
    BOX = [AIMessage(1), *({"text": "y" * 50, "n": [n]} for n in range(50))]
    record(HumanMessage("m", additional_kwargs={"outer": BOX}))
""",
    "property in the fields": POSER + """
for _ in range(50):
    message = HumanMessage("m", additional_kwargs={"inner": AIMessage(1), **{f"k{n}": {"n": [n]} for n in range(50)}})
    BOX = message.__dict__
    record(message)
""",
    # A message's own class, changed after its first use.
    "property set on a class later": """
record(AIMessage("first"))
BOX = {}
def extras(self):
    BOX.clear()
    return {"x": 1}
made = [AIMessage("m") for _ in range(50)]
type.__setattr__(AIMessage, "__pydantic_extra__", property(extras))
for message in made:
    BOX = {"a": message, **{f"k{n}": {"n": [n]} for n in range(50)}}
    record(HumanMessage("m", additional_kwargs={"outer": BOX}))
""",
    # An allocation in the encoder starts the collector, and a finalizer changes the walked dict.
    "finalizer": """
class Cycle:
    def __init__(self, box):
        self.box, self.own = box, self
    def __del__(self):
        self.box.clear()
        junk()
gc.set_threshold(1, 1, 1)
for _ in range(200):
    box = {f"k{n}": AIMessage.model_construct(content={"t": ["z" * 40]}) for n in range(20)}
    gc.disable()
    Cycle(box)
    gc.enable()
    record(HumanMessage("m", additional_kwargs={"outer": {"box": box}}))
""",
    # More classes than the encoder keeps: an address may belong to another class.
    "classes at old addresses": """
for round in range(3):
    for n in range(5000):
        made = type("AIMessage", (), {"__module__": "langchain_core.messages"})()
        if n % 100 == 0:
            record(HumanMessage("m", additional_kwargs={"made": [made, AIMessage("a"), {"t": AIMessage("b").text}]}))
        else:
            handler.on_chat_model_start(SERIALIZED, [[made]], run_id=uuid.uuid4())
""",
    "metaclass": """
class Meta(type):
    def __getattribute__(cls, name):
        if name in ("__module__", "__pydantic_extra__", "__name__", "__mro__"):
            BOX.clear()
            junk()
        posed = {"__module__": "langchain_core.messages", "__name__": "AIMessage"}
        return posed.get(name) or super().__getattribute__(name)
for _ in range(50):
    Poser = Meta("AIMessage", (), {})
    BOX = {"a": Poser(), **{f"k{n}": {"n": [n]} for n in range(50)}}
    record(HumanMessage("m", additional_kwargs={"outer": {"box": BOX}}))
""",
}  # fmt: skip

EPILOGUE = """
record(HumanMessage("after"))
with Journal.open(journal) as opened:
    newest = next(iter(opened.records()))
    assert "after" in repr(newest.input), newest.input
    assert opened.check().problems == []
print("survived")
"""


@pytest.mark.parametrize("attack", [pytest.param(attack, id=name) for name, attack in ATTACKS.items()])
def test_an_object_that_changes_while_it_is_recorded_does_no_harm(attack: str, tmp_path: Path) -> None:
    program = tmp_path / "attack.py"
    program.write_text(PROLOGUE + attack + EPILOGUE)
    done = subprocess.run(
        # The debug allocator overwrites freed memory, so a use of it crashes.
        [sys.executable, "-X", "dev", "-W", "ignore", str(program), str(tmp_path / "journal")],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONMALLOC": "debug"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "survived\n"
