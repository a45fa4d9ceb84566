"""Large binaries: files beside the recording, named by their content, that exist only while a line names them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGenerationChunk

from plsync import Journal, PromptLayerCallbackHandler
from plsync.errors import NoRecording, RecordingFormatError, ReplayError
from plsync.replay import Recording, export, with_recording
from tests.support.generated import same
from tests.support.models import Chat
from tests.support.replaying import recorded, replayed

PICTURE = bytes(range(256)) * 40


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


def picture(answer: bytes) -> Chat:
    block = {"type": "image", "base64": base64.b64encode(answer).decode(), "mime_type": "image/png"}
    return Chat(reply=lambda _: AIMessage([block], additional_kwargs={"raw": answer, "small": b"x"}))


def test_large_binaries_are_files_named_by_their_content(path: Path) -> None:
    first = recorded(picture(PICTURE), path).invoke("Draw.")
    [blob] = (path.parent / "blobs").iterdir()
    assert blob.read_bytes() == PICTURE
    assert len(path.read_bytes()) < 1000
    assert same(replayed(Chat(), path).invoke("Draw."), first)


def test_a_picture_in_a_request_is_compared_by_its_digest(path: Path) -> None:
    def question(data: bytes) -> list[BaseMessage]:
        url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
        return [HumanMessage([{"type": "image_url", "image_url": {"url": url}}])]

    recorded(Chat(), path).invoke(question(PICTURE))
    assert len(path.read_bytes()) < 1000
    assert replayed(Chat(), path).invoke(question(PICTURE)).content == "yes"
    with pytest.raises(NoRecording):
        replayed(Chat(), path).invoke(question(PICTURE[1:]))


@pytest.mark.parametrize(
    "text",
    ["a" * 5000, "word " * 1000, "=" * 5000, "AAAB" * 2000 + "\n", "data:text/plain;base64,", "QQ" * 3001],
)
def test_a_text_that_resembles_base64_comes_back_unchanged(text: str, path: Path) -> None:
    recorded(Chat(reply=lambda _: AIMessage(text)), path).invoke("hi")
    assert replayed(Chat(), path).invoke("hi").content == text


def test_a_missing_or_changed_binary_is_an_error(path: Path) -> None:
    recorded(picture(PICTURE), path).invoke("Draw.")
    [blob] = (path.parent / "blobs").iterdir()
    blob.write_bytes(b"other")
    with pytest.raises(ReplayError, match="does not match its name"):
        replayed(Chat(), path).invoke("Draw.")
    blob.unlink()
    with pytest.raises(ReplayError, match="commit it beside the recording, or record the call again"):
        replayed(Chat(), path).invoke("Draw.")


def test_a_name_that_leads_out_of_the_directory_is_refused(path: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    recorded(picture(PICTURE), path).invoke("Draw.")
    [blob] = (path.parent / "blobs").iterdir()
    path.write_text(path.read_text().replace(blob.name, "../secret"))
    with pytest.raises(RecordingFormatError, match="which is not the name of a binary"):
        replayed(Chat(), path).invoke("Draw.")


def test_pruning_removes_binaries_that_no_line_names(path: Path) -> None:
    with Recording(path, mode="all") as recording:
        with_recording(picture(PICTURE), recording).invoke("Draw.")
    recorded(picture(PICTURE[::-1]), path.with_name("other.jsonl")).invoke("Draw.")
    with Recording(path, mode="all") as recording:
        with_recording(Chat(), recording).invoke("Draw.")
        recording.prune()
    [blob] = (path.parent / "blobs").iterdir()
    assert blob.read_bytes() == PICTURE[::-1]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_binary_is_stored_only_together_with_its_line(streamed: bool, path: Path) -> None:
    def draw(model: Any) -> Any:
        return list(model.stream("Draw.")) if streamed else model.invoke("Draw.")

    class Painter(Chat):
        def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
            yield ChatGenerationChunk(message=AIMessageChunk(content="", additional_kwargs={"raw": PICTURE}))

    model = Painter(reply=picture(PICTURE).reply)
    draw(recorded(model, path, redact=lambda part: part if "messages" in part else None))
    assert not (path.parent / "blobs").exists()

    def prune_another_recording(part: dict[str, Any]) -> dict[str, Any]:
        with Recording(path.with_name("other.jsonl"), mode="all") as other:
            with_recording(Chat(), other).invoke("hi")
            other.prune()
        return part

    first = draw(recorded(model, path, redact=prune_another_recording))
    again = draw(replayed(model, path, redact=lambda part: part))
    assert all(map(same, first, again)) if streamed else same(first, again)


def test_a_picture_in_the_form_of_amazon_is_compared_by_its_digest(path: Path) -> None:
    def question(data: bytes) -> list[BaseMessage]:
        return [HumanMessage([{"image": {"format": "png", "source": {"bytes": data}}}, {"text": "What is it?"}])]

    recorded(Chat(), path).invoke(question(PICTURE))
    assert len(path.read_bytes()) < 1000
    assert replayed(Chat(), path).invoke(question(PICTURE)).content == "yes"
    with pytest.raises(NoRecording):
        replayed(Chat(), path).invoke(question(PICTURE[1:]))


def test_an_export_stores_no_binary_of_a_skipped_record(path: Path, tmp_path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=tmp_path / "journal")
    first = picture(PICTURE).invoke("Draw.", {"callbacks": [handler]})
    with Journal.open(tmp_path / "journal") as journal:
        assert export(journal.records(), path, redact=lambda part: part if "messages" in part else None).calls == 0
        assert not (path.parent / "blobs").exists()
        assert export(journal.records(), path).calls == 1
    [blob] = (path.parent / "blobs").iterdir()
    assert blob.read_bytes() == PICTURE
    assert same(replayed(Chat(), path).invoke("Draw."), first)
