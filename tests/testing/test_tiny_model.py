"""The tiny model's file is the same on every run; answers that the model cannot distinguish are rejected."""

from pathlib import Path

import pytest

from plsync.testing.tiny_model import write_tiny_model


def test_the_file_is_the_same_on_every_run(tmp_path: Path) -> None:
    first = write_tiny_model(tmp_path / "first.gguf")
    second = write_tiny_model(tmp_path / "second.gguf")
    assert first.read_bytes() == second.read_bytes()


def test_it_is_small_enough_to_write_in_every_test_run(tmp_path: Path) -> None:
    assert write_tiny_model(tmp_path / "tiny.gguf").stat().st_size < 512 * 1024


def test_it_returns_the_path_of_its_argument(tmp_path: Path) -> None:
    target = tmp_path / "tiny.gguf"
    assert write_tiny_model(str(target)) == target


@pytest.mark.parametrize("keyword", ["", "two words", " padded", "line\nbreak"])
def test_a_keyword_must_be_one_word(tmp_path: Path, keyword: str) -> None:
    with pytest.raises(ValueError, match="one word"):
        write_tiny_model(tmp_path / "tiny.gguf", answers={keyword: "Unused."})


def test_replies_must_end_differently(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ends like another"):
        write_tiny_model(tmp_path / "tiny.gguf", answers={"one": "Yes.", "two": "Yes."})


def test_too_many_keywords_are_refused(tmp_path: Path) -> None:
    answers = {f"key{n}": f"reply{n}" for n in range(400)}
    write_tiny_model(tmp_path / "wide.gguf", answers=dict(list(answers.items())[:8]))
    with pytest.raises(ValueError, match="too many"):
        write_tiny_model(tmp_path / "tiny.gguf", answers=answers)
