"""``plsync run`` as a process: its exit code and its output."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from plsync.delivery.lock import sole_sender
from plsync.journal import Journal, Quota
from plsync.testing import PromptLayerServer
from tests.support import commands, programs
from tests.support.calls import AT, request_ids, states, wait_until, write_calls
from tests.support.spooling import SpoolWriter
from tests.support.terminal import hidden_characters

COMMAND = [*programs.PLSYNC_IN_PYTHON, "run"]


def environment(path: Path, server: PromptLayerServer, **changes: str) -> dict[str, str]:
    settings = {
        "PLSYNC_JOURNAL": str(path),
        "PROMPTLAYER_API_KEY": server.api_key,
        "PROMPTLAYER_BASE_URL": server.url,
    }
    return {**os.environ, **settings, **changes}


def run(
    path: Path, server: PromptLayerServer, *options: str, cwd: Path | None = None, **changes: str
) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "--once", *options]
    env = environment(path, server, **changes)
    return programs.run(command, env=env, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def start(path: Path, server: PromptLayerServer, *options: str, **changes: str) -> subprocess.Popen[str]:
    pipe, env = subprocess.PIPE, environment(path, server, **changes)
    return programs.Popen([*COMMAND, *options], env=env, stdout=pipe, stderr=pipe, text=True)


def test_a_drained_journal_exits_with_0_and_prints_that(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 2)
    done = run(path, server)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"2 records at {server.url} (a stand-in)." in done.stdout
    assert "All delivered: 2 records." in done.stdout
    assert "Nothing to deliver" in run(path, server).stdout


def test_json_has_a_line_for_each_event_and_one_with_the_sums(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 2)
    done = run(path, server, "--json")
    first, *_, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert datetime.fromisoformat(first.pop("at")).tzinfo is not None
    assert first == {"event": "acked", "number": 2}
    last.pop("at")
    assert last == {
        "event": "end",
        "acked": 2,
        "found": 0,
        "resent": 0,
        "in_doubt": 0,
        "dead": 0,
        "held": 0,
        "dropped": 0,
        "followups": 0,
        "followups_unclear": 0,
        "followups_dead": 0,
        "delivered": 0,
        "failed": 0,
        "left": {},
        "halt": None,
    }


def test_offline_exits_with_3_and_keeps_everything(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 2)
    with server.offline():
        done = run(path, server)
    assert done.returncode == 3
    assert "no connection to" in done.stdout
    assert "2 records to send" in done.stdout
    assert set(states(path).values()) == {"pending"}


def test_a_refused_key_exits_with_1_and_a_line_with_the_remedy(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    done = run(path, server, PROMPTLAYER_API_KEY="pl_wrong")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "PROMPTLAYER_API_KEY" in done.stderr
    assert "pl_wrong" not in done.stderr + done.stdout


def test_no_key_exits_with_1_without_a_request(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    done = run(path, server, PROMPTLAYER_API_KEY="")
    assert (done.returncode, server.requests) == (1, [])
    assert "export PROMPTLAYER_API_KEY" in done.stderr


def test_no_journal_exits_with_1(tmp_path: Path, server: PromptLayerServer) -> None:
    done = run(tmp_path / "nowhere", server)
    assert done.returncode == 1
    assert "nowhere" in done.stderr


def test_a_wrong_option_exits_with_2(path: Path, server: PromptLayerServer) -> None:
    assert run(path, server, "--batch", "0").returncode == 2


def test_a_second_sender_exits_with_1(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    run(path, server)
    with sole_sender(path):
        done = run(path, server)
    assert done.returncode == 1
    assert "another `plsync run`" in done.stderr


def test_a_dead_record_is_work_left(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    server.fail(422)
    done = run(path, server)
    assert done.returncode == 3
    assert "plsync list --delivery refused" in done.stdout


def test_a_short_throttling_is_waited_out(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 2)
    server.fail(429, headers={"Retry-After": "0"}, times=2)
    assert run(path, server).returncode == 0
    assert len(server.request_logs) == 2


def test_a_long_throttling_is_work_left(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 2)
    server.fail(429, headers={"Retry-After": "300"})
    assert run(path, server).returncode == 3
    assert len(server.requests) == 1


def test_a_record_whose_response_was_lost_settles_and_is_looked_up(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    server.drop_reply(path="/spans-bulk")
    done = run(path, server, "--settle", "1")
    assert done.returncode == 0
    assert [request.path.startswith("/spans-bulk") for request in server.requests] == [True, False]


def test_a_signal_ends_the_wait_for_a_record_in_doubt(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    server.drop_reply(path="/spans-bulk")
    with start(path, server, "--once") as process:
        assert process.stdout is not None
        while "Waiting" not in process.stdout.readline():
            pass
        process.terminate()
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 3
    assert "1 record with an unclear delivery" in output


def test_a_run_logs_the_records_that_the_quota_drops_and_calls_them_by_their_name(
    path: Path, server: PromptLayerServer
) -> None:
    write_calls(path, 3)
    with Journal.open(path) as journal:
        journal.set_quota(Quota(max_bytes=0, policy="drop-oldest"))
    done = run(path, server)
    assert done.returncode == 3
    assert "3 records not sent: the quota removed the content; see `plsync list --delivery dropped`." in done.stdout
    assert "Left: 3 records without content, which the quota removed;" in done.stdout
    assert "refused" not in done.stdout
    again = [json.loads(line) for line in run(path, server, "--json").stdout.splitlines()]
    assert [(event["event"], event["dropped"], event["left"]) for event in again] == [("end", 0, {"dead": 3})]
    text = commands.printed(path, "status")
    assert re.search(r"^  dropped +3  \(never sent", text, re.MULTILINE)
    assert "refused" not in text
    assert "`plsync forget --delivery dropped`" in text
    assert "not sent until `plsync retry`" not in commands.printed(path, "show")
    commands.printed(path, "forget", "--delivery", "dropped", "--yes")
    assert run(path, server).returncode == 0


def test_a_run_names_the_pause_that_a_server_requests(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    server.fail(429, times=9, headers={"Retry-After": "40"})
    assert "; the server requests a pause of 40 s\n" in run(path, server).stdout


def test_with_settle_0_a_lost_response_is_looked_up_at_once(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 3)
    server.drop_reply(path="/spans-bulk")
    assert run(path, server, "--settle", "0").returncode == 0
    assert len(server.request_logs) == 3


def test_a_record_that_a_killed_run_may_have_sent_settles_first(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    server.hang(60, path="/spans-bulk")
    with start(path, server, "--once") as process:
        wait_until(lambda: len(server.request_logs) == 1)
        process.kill()
    done = run(path, server, "--settle", "1")
    assert done.returncode == 0
    waiting = done.stdout.index("Waiting 1 s before the look-up of unclear records")
    assert waiting < done.stdout.index(f"1 record at {server.url} (a stand-in).")
    assert len(server.request_logs) == 1


def test_a_running_call_is_not_work_left(path: Path, server: PromptLayerServer) -> None:
    writer = SpoolWriter(path)
    writer.start({"kind": "chat", "messages": [], "run_id": None}, at=AT)
    assert run(path, server).returncode == 0
    writer.close()


@pytest.mark.parametrize("logs", [1, 4, 7])
def test_killed_mid_send_and_run_again_every_record_has_one_log(
    path: Path, server: PromptLayerServer, logs: int
) -> None:
    ids = write_calls(path, 10)
    with start(path, server, "--once", "--batch", "1", "--settle", "0") as process:
        wait_until(lambda: len(server.request_logs) >= logs)
        process.kill()
    assert run(path, server, "--settle", "0").returncode == 0
    assert [len(server.logs_of(record_id)) for record_id in ids] == [1] * 10
    assert request_ids(path) == {record_id: server.logs_of(record_id)[0]["id"] for record_id in ids}


def test_killed_before_the_answer_and_run_again_every_record_has_one_log(path: Path, server: PromptLayerServer) -> None:
    ids = write_calls(path, 5)
    server.hang(60, path="/spans-bulk")
    with start(path, server, "--once", "--settle", "0") as process:
        wait_until(lambda: len(server.request_logs) == 5)
        process.kill()
    assert run(path, server, "--settle", "0").returncode == 0
    assert [len(server.logs_of(record_id)) for record_id in ids] == [1] * 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_requests_in_flight_finish(
    path: Path, server: PromptLayerServer, number: signal.Signals
) -> None:
    write_calls(path, 5)
    server.hang(1, path="/spans-bulk")
    with start(path, server, "--batch", "1", "--in-flight", "1") as process:
        wait_until(lambda: len(server.request_logs) == 1)
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 3
    assert "Traceback" not in errors
    assert sorted(states(path).values()) == ["acked"] + ["pending"] * 4


def test_a_stop_takes_seconds_even_if_all_requests_hang(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 5)
    server.hang(90, path="/spans-bulk", times=5)
    with start(path, server, "--batch", "1", "--in-flight", "4") as process:
        wait_until(lambda: len(server.request_logs) == 4)
        process.terminate()
        process.communicate(timeout=10)
    assert process.returncode == 3
    # Records in flight are in doubt.
    assert sorted(states(path).values()) == ["in_doubt"] * 4 + ["pending"]


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket on which systemd receives notifications."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        yield manager


def test_systemd_receives_the_status(path: Path, server: PromptLayerServer, manager: socket.socket) -> None:
    with start(path, server, NOTIFY_SOCKET=manager.getsockname()) as process:
        received = manager.recv(4096)
        assert received.startswith(b"READY=1")
        while b"STATUS=idle" not in received:
            received = manager.recv(4096)
        process.terminate()
        while b"STOPPING=1" not in received:
            received = manager.recv(4096)


def test_no_text_of_a_server_adds_a_state_or_a_control_character_to_a_notification(
    path: Path, server: PromptLayerServer, manager: socket.socket
) -> None:
    write_calls(path, 1)
    body = b'{"message": "\\u001b[31mRED\\nMAINPID=1\\u2028STOPPING=1\\u202e"}'
    server.fail(503, body=body, headers={"Content-Type": "application/json"}, times=9)
    with start(path, server, NOTIFY_SOCKET=manager.getsockname()) as process:
        received = manager.recv(4096)
        while b"STATUS=waiting" not in received:
            received = manager.recv(4096)
        process.terminate()
    assert received.count(b"\n") == 0
    assert not hidden_characters(received.decode())


def test_a_run_may_start_before_anything_is_recorded(path: Path, server: PromptLayerServer) -> None:
    with start(path, server) as process:
        wait_until((path / "FORMAT").exists)
        write_calls(path, 1)
        wait_until(lambda: len(server.request_logs) == 1)
        process.terminate()


def test_without_once_later_records_are_sent(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    with start(path, server) as process:
        wait_until(lambda: len(server.request_logs) == 1)
        write_calls(path, 1)
        wait_until(lambda: len(server.request_logs) == 2)
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0


def test_a_run_waits_for_the_network(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    with server.offline():
        process = start(path, server)
        assert process.stdout is not None
        assert "no connection to" in process.stdout.readline()
    with process:
        wait_until(lambda: len(server.request_logs) == 1)
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0


def test_follow_ups_are_sent_with_their_records(path: Path, server: PromptLayerServer) -> None:
    (record_id,) = write_calls(path, 1)
    with Journal.open(path) as journal:
        journal.track.score(record_id, 90)
    done = run(path, server)
    assert done.returncode == 0
    assert "1 follow-up sent." in done.stdout
    assert server.scores == {server.request_logs[0]["id"]: {"default": 90}}


SINK_APP = """
from pathlib import Path

def on_id(request_id):
    with Path("ids").open("a") as file:
        file.write(f"{request_id}\\n")

def refuse(request_id):
    raise ValueError("no room")
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    directory = tmp_path / "app"
    directory.mkdir()
    (directory / "sink_app.py").write_text(SINK_APP)
    return directory


def test_callbacks_of_an_importable_function_are_delivered(path: Path, server: PromptLayerServer, app: Path) -> None:
    write_calls(path, 3, sink="sink_app:on_id")
    done = run(path, server, cwd=app)
    assert done.returncode == 0
    assert "3 callbacks delivered." in done.stdout
    assert (app / "ids").read_text().split() == [str(log["id"]) for log in server.request_logs]


def test_output_of_callbacks_stays_out_of_the_json(path: Path, server: PromptLayerServer, app: Path) -> None:
    (app / "sink_app.py").write_text("def on_id(request_id): print('got', request_id)\n")
    write_calls(path, 1, sink="sink_app:on_id")
    done = run(path, server, "--json", cwd=app)
    assert json.loads(done.stdout.splitlines()[-1])["delivered"] == 1
    assert done.stderr.startswith("got ")


def test_callbacks_survive_a_stop_between_ack_and_delivery(path: Path, server: PromptLayerServer, app: Path) -> None:
    write_calls(path, 2, sink="sink_app:on_id")
    assert run(path, server, "--no-callbacks", cwd=app).returncode == 3
    assert not (app / "ids").exists()
    assert run(path, server, cwd=app).returncode == 0
    assert len((app / "ids").read_text().split()) == 2


def test_a_callback_of_a_local_function_is_work_left(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1, sink="sink_app:main.<locals>.on_id")
    done = run(path, server)
    assert done.returncode == 3
    assert "can only be called by the program that made it" in done.stdout


def test_the_error_of_a_callback_is_printed_and_kept(path: Path, server: PromptLayerServer, app: Path) -> None:
    write_calls(path, 1, sink="sink_app:refuse")
    done = run(path, server, cwd=app)
    assert done.returncode == 3
    assert "sink_app:refuse raised ValueError: no room" in done.stdout


def test_a_score_that_a_callback_queues_is_sent_by_the_same_run(
    path: Path, server: PromptLayerServer, app: Path
) -> None:
    (app / "sink_app.py").write_text("from plsync import track\ndef on_id(request_id): track.score(request_id, 80)\n")
    write_calls(path, 2, sink="sink_app:on_id")
    assert run(path, server, cwd=app).returncode == 0
    assert server.scores == {log["id"]: {"default": 80} for log in server.request_logs}


def test_callbacks_replaces_the_function_of_a_script(path: Path, server: PromptLayerServer, app: Path) -> None:
    write_calls(path, 1, sink="/srv/somewhere/script.py:on_id")
    assert run(path, server, cwd=app).returncode == 3
    assert run(path, server, "--callbacks", "sink_app:on_id", cwd=app).returncode == 0
    assert (app / "ids").read_text().split() == [str(server.request_logs[0]["id"])]


def test_a_command_is_run_for_each_id(path: Path, server: PromptLayerServer, app: Path) -> None:
    write_calls(path, 2)
    done = run(path, server, "--exec", "sh -c 'echo \"$0\" >> ids' {request_id}", cwd=app)
    assert done.returncode == 0
    assert sorted((app / "ids").read_text().split()) == [str(log["id"]) for log in server.request_logs]


def test_output_of_a_command_stays_out_of_the_json(path: Path, server: PromptLayerServer, app: Path) -> None:
    write_calls(path, 1)
    done = run(path, server, "--json", "--exec", "echo got {request_id}", cwd=app)
    assert json.loads(done.stdout.splitlines()[-1])["delivered"] == 1
    assert "got " in done.stderr


@pytest.mark.parametrize("options", [["--callbacks", "nonsense"], ["--exec", "no-such-program {request_id}"]])
def test_an_invalid_callback_is_wrong_usage(path: Path, server: PromptLayerServer, options: list[str]) -> None:
    write_calls(path, 1)
    assert run(path, server, *options).returncode == 2
    assert server.requests == []


def test_a_run_ends_while_a_callback_hangs(path: Path, server: PromptLayerServer, app: Path) -> None:
    (app / "sink_app.py").write_text("import threading\ndef on_id(request_id): threading.Event().wait()\n")
    write_calls(path, 1, sink="sink_app:on_id")
    with programs.Popen(COMMAND, env=environment(path, server), cwd=app) as process:
        wait_until(lambda: set(states(path).values()) == {"acked"})
        process.terminate()
        assert process.wait(10) == 3


def test_the_only_connection_is_to_the_configured_server(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 2)
    watch = (
        "import socket, sys\n"
        "def hook(event, args):\n"
        "    # Netlink sockets report changes of the network, and send nothing out of the machine.\n"
        "    kernel = event.startswith('socket.') and getattr(args[0], 'family', None) == socket.AF_NETLINK\n"
        "    if event in ('socket.connect', 'socket.sendto', 'socket.bind') and not kernel:\n"
        "        print('REACHED', args[1], file=sys.stderr)\n"
        "    if event == 'socket.getaddrinfo': print('REACHED', (args[0], args[1]), file=sys.stderr)\n"
        "sys.addaudithook(hook)\n"
        "from plsync.cli import main; main()"
    )
    command = [sys.executable, "-c", watch, "run", "--once"]
    env = environment(path, server)
    done = programs.run(command, env=env, capture_output=True, text=True, timeout=60, check=True)
    port = server.url.rpartition(":")[2]
    reached = {line.replace("'", "") for line in done.stderr.splitlines() if line.startswith("REACHED")}
    assert reached == {f"REACHED (127.0.0.1, {port})"}


def test_the_key_is_nowhere_in_the_journal(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    run(path, server)
    files = [file for file in path.rglob("*") if file.is_file()]
    assert files
    assert not any(server.api_key.encode() in file.read_bytes() for file in files)


def test_it_imports_neither_langchain_nor_promptlayer(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    look = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('LOADED', sorted({'langchain_core', 'promptlayer'} & set(sys.modules))))\n"
        "from plsync.cli import main; main()"
    )
    command = [sys.executable, "-c", look, "run", "--once"]
    env = environment(path, server)
    done = programs.run(command, env=env, capture_output=True, text=True, timeout=60, check=True)
    assert "LOADED []" in done.stdout
