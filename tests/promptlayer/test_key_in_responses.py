"""A server may repeat the API key in any spelling and cut it anywhere: no part of it is kept, printed or raised."""

from __future__ import annotations

import base64
import binascii
import html
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, unquote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plsync import prompts
from plsync._common.spellings import SecretRedactor
from plsync.errors import PlsyncError
from plsync.promptlayer.client import PromptLayerClient
from plsync.testing import PromptLayerServer
from tests.support import programs
from tests.support.calls import write_calls
from tests.support.hostile import GROWING, TEXTS, assert_linear, cases
from tests.support.raw_server import RawServer, responding

KEY = "pl_7d1c0f2ab93e84556fa0c7e1b2d3948e"
SHORTEST_PART = 8

SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "upper": str.upper,
    "mixed": lambda key: "".join(c.upper() if i % 3 else c for i, c in enumerate(key)),
    "percent": lambda key: "".join(f"%{ord(c):02X}" for c in key),
    "percent, some": lambda key: "".join(f"%{ord(c):02x}" if i % 2 else c for i, c in enumerate(key)),
    "percent, twice": lambda key: quote("".join(f"%{ord(c):02x}" for c in key)),
    "JSON": lambda key: "".join(f"\\u{ord(c):04x}" for c in key),
    "JSON, twice": lambda key: json.dumps("".join(f"\\u{ord(c):04X}" for c in key))[1:-1],
    "Python": lambda key: "".join(f"\\x{ord(c):02x}" for c in key),
    "HTML": lambda key: "".join(f"&#{ord(c)};" for c in key),
    "HTML, hexadecimal": lambda key: "".join(f"&#x{ord(c):X};" for c in key),
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "base64 of a header": lambda key: base64.b64encode(f"X-API-KEY: {key}".encode()).decode(),
    "base64 of a pair": lambda key: base64.urlsafe_b64encode(f"{key}:".encode()).decode(),
    "base64 in lines": lambda key: re.sub("(.{19})", r"\1\n", base64.b64encode(f"ab{key}".encode()).decode()),
    "hexadecimal": lambda key: key.encode().hex(),
    "lines": lambda key: re.sub("(.{7})", "\\1\r\n", key),
    "spaces": " ".join,
    "tabs and quotes": lambda key: "'\t'".join(re.findall(".{1,5}", key)),
    "escaped lines": lambda key: r"\n".join(re.findall(".{1,9}", key)),
    "invisible characters": "\u200b".join,
}
texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)


def readings(text: str) -> Iterator[str]:
    """The text as its readers may decode it."""
    plain = [text, unquote(unquote(text)), html.unescape(text)]
    plain.append(re.sub(r"\\+[ux](?:00)?([0-9a-fA-F]{2})", lambda found: chr(int(found[1], 16)), text))
    for reading in plain:
        bare = re.sub(r"\\+[nrt]|\\u200b|[^\w+/=-]", "", reading).lower()
        yield bare
        yield re.sub(r"[^0-9a-z_]", "", bare)
    for token in re.findall(r"[A-Za-z0-9+/_-]{11,}", re.sub(r"\s", "", text)):
        for begin in range(4):
            part = token[begin:].replace("-", "+").replace("_", "/")
            yield base64.b64decode(part[: len(part) // 4 * 4]).decode("latin-1").lower()
    for token in re.findall(r"[0-9a-f]{16,}", text.lower()):
        yield binascii.unhexlify(token[: len(token) // 2 * 2]).decode("latin-1")


def leaked(text: str) -> str | None:
    """A part of the key in a text, of eight characters."""
    parts = [KEY[begin : begin + SHORTEST_PART] for begin in range(len(KEY) - SHORTEST_PART + 1)]
    return next((part for reading in readings(text) for part in parts if part in reading), None)


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_the_readings_of_this_test_find_the_key(spelling: Callable[[str], str]) -> None:
    assert leaked(f"your key: {spelling(KEY)}.")


@given(
    before=texts,
    after=texts,
    spelling=st.sampled_from(list(SPELLINGS.values())),
    cut=st.tuples(st.integers(0, 40), st.integers(0, 40)),
)
def test_no_part_of_the_key_passes_in_any_spelling_and_cut(
    before: str, after: str, spelling: Callable[[str], str], cut: tuple[int, int]
) -> None:
    spelled = spelling(KEY)
    spelled = spelled[cut[0] : len(spelled) - cut[1]]
    assert leaked(SecretRedactor(KEY, "[the key]")(f"{before} {spelled} {after}")) is None


@pytest.mark.parametrize("text", cases(TEXTS))
def test_a_reason_of_any_text_is_short_printable_and_free_of_the_key(
    shared_server: PromptLayerServer, text: str
) -> None:
    with PromptLayerClient(KEY, shared_server.url, timeout=10) as client:
        for words in (text, f"{text}{KEY}", f"{KEY.upper()}{text}"):
            shared_server.fail(422, body=json.dumps({"message": words}).encode())
            reason = client.send([]).reason
            assert leaked(reason) is None
            assert reason.isprintable()
            assert len(reason) <= 300


@given(texts)
def test_a_text_without_the_key_is_not_changed(text: str) -> None:
    assert SecretRedactor(KEY, "[the key]")(text) == text


@pytest.mark.parametrize("text", cases(GROWING))
def test_the_time_is_proportional_to_the_length(text: Callable[[int], str]) -> None:
    assert_linear(SecretRedactor(KEY, "[the key]"), text, least=20_000)


@pytest.fixture(scope="module")
def shared_server() -> Iterator[PromptLayerServer]:
    with PromptLayerServer(api_key=KEY) as server:
        yield server


@pytest.mark.parametrize("place", ["message", "error", "detail", "location", "nested"])
@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_a_reason_is_free_of_the_key_wherever_it_is_cut(
    shared_server: PromptLayerServer, spelling: Callable[[str], str], place: str
) -> None:
    with PromptLayerClient(KEY, shared_server.url, timeout=10) as client:
        for filler in (0, 200, 260, 270, 285, 4060, 4080):
            words = f"{'y' * filler} {spelling(KEY)} and more"
            body = {
                "message": {"message": words},
                "error": {"error": words},
                "detail": {"detail": [{"loc": ["body"], "msg": words}]},
                "location": {"detail": [{"loc": [words, 1], "msg": "no"}]},
                "nested": {"message": {"headers": [words]}},
            }[place]
            shared_server.fail(422, body=orjson.dumps(body))
            reason = client.send([]).reason
            assert leaked(reason) is None
            assert len(reason) <= 300


def test_a_status_line_that_is_not_http_does_not_show_the_key() -> None:
    def behave(line: object) -> None:
        line.read_request()  # type: ignore[attr-defined]
        line.socket.sendall(f"{KEY} is your key\r\n\r\n".encode())  # type: ignore[attr-defined]

    with RawServer(behave) as server, PromptLayerClient(KEY, server.url, timeout=5) as client:
        reason = client.send([]).reason
    assert "illegal status line" in reason
    assert leaked(reason) is None


def echo(status: str) -> bytes:
    words = f"{'y' * 255} X-API-KEY: {KEY}, once more {KEY.upper()}"
    return orjson.dumps({"success": False, "message": words, "status": status})


@pytest.mark.parametrize("status", ["422 No", "429 No", "401 No"])
def test_neither_a_journal_nor_the_output_of_a_command_has_the_key(
    path: Path, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_calls(path, 2)
    with RawServer(responding(status, echo(status))) as server:
        settings = {"PROMPTLAYER_API_KEY": KEY, "PROMPTLAYER_BASE_URL": server.url, "PLSYNC_JOURNAL": str(path)}
        output = ""
        for command in (["run", "--once", "--settle=0"], ["run", "--once", "--json"], ["list", "--json"], ["status"]):
            done = programs.run(
                [*programs.PLSYNC_IN_PYTHON, *command],
                env={**os.environ, **settings},
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            output += done.stdout + done.stderr
    assert "y" * 100 in output
    assert leaked(output) is None
    kept = b"".join(file.read_bytes() for file in path.rglob("*") if file.is_file())
    assert KEY[:SHORTEST_PART].encode() not in kept


def test_an_error_of_prompts_does_not_show_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTLAYER_API_KEY", KEY)
    monkeypatch.setenv("PLSYNC_PROMPTS", str(tmp_path / "prompts"))
    for status in ("401 No", "404 No", "422 No", "500 No"):
        with RawServer(responding(status, echo(status))) as server:
            monkeypatch.setenv("PROMPTLAYER_BASE_URL", server.url)
            with pytest.raises(PlsyncError) as caught:
                prompts.get("example", timeout=5)
        assert leaked(str(caught.value)) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://user:0f9e8d7c6b5a@127.0.0.1:9",
        "http://0f9e8d7c6b5a@127.0.0.1:9",
        "http://127.0.0.1:9/tenants/0f9e8d7c6b5a4f3e2d1c/",
        "http://u:a/0f9e8d7c6b5a@127.0.0.1:9",
        "http://127.0.0.1:9/?api_key=0f9e8d7c6b5a",
        "http://127.0.0.1:9/#0f9e8d7c6b5a",
        "http:/0f9e8d7c6b5a@127.0.0.1",
        "ftp://u:0f9e8d7c6b5a@127.0.0.1/0f9e8d7c6b5a?0f9e8d7c6b5a",
        "0f9e8d7c6b5a@127.0.0.1/0f9e8d7c6b5a",
        "http://u:0f9e8d7c6b5a@promptlayer.example/0f9e8d7c6b5a",
    ],
)
def test_no_secret_of_the_base_url_is_shown(url: str) -> None:
    try:
        with PromptLayerClient(KEY, url, timeout=5) as client:
            shown = f"{client.send([])} {client.address}"
    except PlsyncError as error:
        shown = str(error)
    assert "0f9e8d7c6b5a" not in shown


def test_a_server_that_repeats_the_secrets_of_its_url_does_not_get_them_kept() -> None:
    token, password = "0f9e8d7c6b5a4f3e2d1c", "correct-horse"
    words = f"no route /t/{token}/spans-bulk for u:{password}"
    with RawServer(responding("500 No", orjson.dumps({"message": words}))) as server:
        url = server.url.replace("//", f"//u:{password}@") + f"/t/{token}"
        with PromptLayerClient(KEY, url, timeout=5) as client:
            reason = client.send([]).reason
        assert server.first_lines == [f"POST /t/{token}/spans-bulk HTTP/1.1"]
    assert token not in reason
    assert password not in reason
    assert "no route" in reason
