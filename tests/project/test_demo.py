"""The parts of the demo, and the demo as a whole."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableBinding
from langchain_core.tools import tool

from plsync import Journal
from plsync.testing import PromptLayerServer
from plsync.testing.tiny_model import write_tiny_model
from tests.support.root import ROOT

DEMO = ROOT / "demo"


@pytest.fixture(autouse=True)
def demo_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DEMO)


def run_offline(program: Path, *arguments: str, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [
        *prefix,
        sys.executable,
        "-W",
        "ignore::DeprecationWarning",
        DEMO / "offline.py",
        program,
        *arguments,
    ]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.mark.parametrize(
    "attempt",
    [
        "socket.create_connection(('127.0.0.1', 9))",
        "socket.getaddrinfo('localhost', 80)",
        "socket.socket().bind(('127.0.0.1', 0))",
        "socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('127.0.0.1', 9))",
    ],
)
def test_an_offline_program_cannot_use_a_socket(tmp_path: Path, attempt: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(f"import socket\n{attempt}\n")
    done = run_offline(program)
    assert done.returncode == 1
    assert "PermissionError: socket." in done.stderr


def test_an_offline_program_receives_its_arguments(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import sys\nprint(sys.argv[1:], __name__)\n")
    assert run_offline(program, "a", "b").stdout == "['a', 'b'] __main__\n"


def test_an_empty_network_does_not_reach_this_machine() -> None:
    from offline import empty_network  # noqa: PLC0415 - the demo's directory is on the path only in a test

    if not (prefix := empty_network()):
        pytest.skip("this user may not start a process without a network")
    with socket.create_server(("127.0.0.1", 0)) as server:
        connect = f"import socket; socket.create_connection({server.getsockname()!r})"
        done = subprocess.run([*prefix, sys.executable, "-c", connect], check=False, capture_output=True, text=True)
    assert "Network is unreachable" in done.stderr


def test_the_application_records_five_calls_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gpt4all")
    monkeypatch.setenv("PLSYNC_JOURNAL", str(tmp_path / "journal"))
    model = write_tiny_model(tmp_path / "tiny.gguf")
    done = run_offline(DEMO / "record.py", str(model))
    assert done.returncode == 0, done.stderr
    with Journal.open() as journal:
        records = list(journal.records(oldest_first=True))
    assert [(record.kind, record.status) for record in records] == [
        ("llm", "ok"),
        ("llm", "ok"),
        ("chat", "ok"),
        ("chat", "ok"),
        ("chat", "error"),
    ]
    assert [record.sink for record in records] == ["scores:on_request_id"] * 5


def test_the_demo_leaves_nothing_and_sends_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gpt4all")
    monkeypatch.delenv("PROMPTLAYER_API_KEY", raising=False)
    command: list[str | Path] = [sys.executable, DEMO / "main.py", tmp_path / "demo"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "2 callbacks delivered\n"
    assert done.stdout.count("score 100 set") == 5
    assert "PromptLayer holds 5 requests, 5 of them with a score." in done.stdout


def test_the_callback_scores_the_request(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with PromptLayerServer() as server:
        monkeypatch.setenv("PROMPTLAYER_BASE_URL", server.url)
        monkeypatch.setenv("PROMPTLAYER_API_KEY", server.api_key)
        from promptlayer import PromptLayer  # noqa: PLC0415 - a slow import, needed here alone

        from scores import on_request_id  # noqa: PLC0415

        logged = PromptLayer().log_request(
            provider="openai",
            model="gpt-4o",
            input={"type": "completion", "content": [{"type": "text", "text": "Hello"}]},
            output={"type": "completion", "content": [{"type": "text", "text": "Hi"}]},
            request_start_time=1.0,
            request_end_time=2.0,
        )
        on_request_id(logged["id"])
        assert list(server.scores[logged["id"]].values()) == [100]
    assert f"on_request_id({logged['id']})" in capsys.readouterr().out


def test_the_scripted_model_answers_in_order_and_raises_its_errors() -> None:
    from scripted import ScriptedChat  # noqa: PLC0415

    model = ScriptedChat(script=[AIMessage("one"), TimeoutError("two")])
    assert model.invoke("").text == "one"
    with pytest.raises(TimeoutError, match="two"):
        model.invoke("")


def test_the_scripted_model_sends_the_schemas_of_its_tools() -> None:
    from scripted import ScriptedChat  # noqa: PLC0415

    @tool
    def rewind(seconds: int) -> None:
        """Rewind the tape."""

    bound = ScriptedChat(script=[]).bind_tools([rewind])
    assert isinstance(bound, RunnableBinding)
    assert [schema["function"]["name"] for schema in bound.kwargs["tools"]] == ["rewind"]
